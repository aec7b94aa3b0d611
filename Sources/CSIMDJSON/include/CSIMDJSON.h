// The few functions of simdjson's document interface that the wire needs, in C. No exception
// crosses them, none allocates except for the parser's own buffers, and a value stays valid until
// its parser parses again.
#ifndef CSIMDJSON_H
#define CSIMDJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csj_parser csj_parser;

// A value in a parsed document, or a position in an array or object.
typedef struct {
  const void *document;
  uint64_t index;
} csj_value;

typedef enum {
  csj_null,
  csj_bool,
  csj_integer,  // fits 64 signed bits
  csj_number,   // any other number
  csj_string,
  csj_array,
  csj_object,
} csj_kind;

csj_parser *csj_parser_create(size_t bytes_max, size_t depth_max);
void csj_parser_destroy(csj_parser *parser);

// Parses a document. Returns 0, or an error for csj_error_message.
int csj_parse(csj_parser *parser, const uint8_t *bytes, size_t count, csj_value *root);
const char *csj_error_message(int error);
// True if a number is malformed, or larger than a parser reads.
bool csj_is_number_error(int error);

csj_kind csj_value_kind(csj_value value);
bool csj_value_bool(csj_value value);
int64_t csj_value_integer(csj_value value);
// The value of an integer or a number.
double csj_value_double(csj_value value);
const char *csj_value_string(csj_value value, size_t *count);

// The number of elements of an array, or members of an object.
size_t csj_value_count(csj_value value);

// Iteration: begin returns a position, next the value there (and the member's name), until false.
csj_value csj_array_begin(csj_value array);
bool csj_array_next(csj_value array, csj_value *position, csj_value *element);
csj_value csj_object_begin(csj_value object);
bool csj_object_next(csj_value object, csj_value *position, const char **name, size_t *name_count,
                     csj_value *value);

// Copies an array of integers in 0 ..< 2^31 - 1. Returns the number copied; fewer than the array
// has means that the next element is something else.
size_t csj_array_copy_tokens(csj_value array, int32_t *tokens, size_t capacity);

// The same for any integers that fit, and for any numbers.
size_t csj_array_copy_int32(csj_value array, int32_t *integers, size_t capacity);
size_t csj_array_copy_int64(csj_value array, int64_t *integers, size_t capacity);
size_t csj_array_copy_float(csj_value array, float *numbers, size_t capacity);

// Writes a finite number as the shortest decimal that reads back as the same; returns its length,
// at most csj_number_bytes_max. (It uses the C++ library, not simdjson, and allocates nothing.)
enum { csj_number_bytes_max = 32 };
size_t csj_write_float(float number, uint8_t *text);
size_t csj_write_double(double number, uint8_t *text);

#ifdef __cplusplus
}
#endif
#endif
