#include "CSIMDJSON.h"

#include <charconv>
#include <cstring>
#include <new>
#include <simdjson.h>
#include <type_traits>

using namespace simdjson;

// Elements and iterators of simdjson's document interface are a document pointer and an index.
template <typename Reference> static Reference unwrap(csj_value value) {
  static_assert(sizeof(Reference) == sizeof(csj_value), "simdjson's layout has changed");
  static_assert(std::is_trivially_copyable<Reference>::value, "simdjson's layout has changed");
  Reference reference;
  std::memcpy(static_cast<void *>(&reference), &value, sizeof value);
  return reference;
}

template <typename Reference> static csj_value wrap(const Reference &reference) {
  static_assert(sizeof(Reference) == sizeof(csj_value), "simdjson's layout has changed");
  csj_value value;
  std::memcpy(&value, static_cast<const void *>(&reference), sizeof value);
  return value;
}

struct csj_parser {
  dom::parser parser;
  size_t depth_max;
};

csj_parser *csj_parser_create(size_t bytes_max, size_t depth_max) {
  auto *created = new (std::nothrow) csj_parser{dom::parser(bytes_max), depth_max};
  if (created && created->parser.allocate(4096, depth_max) != SUCCESS) {
    delete created;
    return nullptr;
  }
  return created;
}

void csj_parser_destroy(csj_parser *parser) { delete parser; }

int csj_parse(csj_parser *parser, const uint8_t *bytes, size_t count, csj_value *root) {
  dom::element element;
  // The bytes are copied to a buffer with the padding that simdjson reads beyond the end.
  auto error = parser->parser.parse(bytes, count, true).get(element);
  if (error == SUCCESS) *root = wrap(element);
  return static_cast<int>(error);
}

const char *csj_error_message(int error) {
  return error_message(static_cast<error_code>(error));
}

bool csj_is_number_error(int error) { return error == NUMBER_ERROR; }

csj_kind csj_value_kind(csj_value value) {
  switch (unwrap<dom::element>(value).type()) {
  case dom::element_type::NULL_VALUE: return csj_null;
  case dom::element_type::BOOL: return csj_bool;
  case dom::element_type::INT64: return csj_integer;
  case dom::element_type::UINT64:
  case dom::element_type::DOUBLE: return csj_number;
  case dom::element_type::STRING: return csj_string;
  case dom::element_type::ARRAY: return csj_array;
  case dom::element_type::OBJECT: return csj_object;
  }
  return csj_null;
}

bool csj_value_bool(csj_value value) {
  bool result = false;
  (void)unwrap<dom::element>(value).get_bool().get(result);
  return result;
}

int64_t csj_value_integer(csj_value value) {
  int64_t result = 0;
  (void)unwrap<dom::element>(value).get_int64().get(result);
  return result;
}

double csj_value_double(csj_value value) {
  double result = 0;
  (void)unwrap<dom::element>(value).get_double().get(result);
  return result;
}

const char *csj_value_string(csj_value value, size_t *count) {
  std::string_view result;
  (void)unwrap<dom::element>(value).get_string().get(result);
  *count = result.size();
  return result.data();
}

size_t csj_value_count(csj_value value) {
  dom::array array;
  dom::object object;
  auto element = unwrap<dom::element>(value);
  if (element.get_array().get(array) == SUCCESS) return array.size();
  if (element.get_object().get(object) == SUCCESS) return object.size();
  return 0;
}

csj_value csj_array_begin(csj_value value) {
  dom::array array;
  (void)unwrap<dom::element>(value).get_array().get(array);
  return wrap(array.begin());
}

bool csj_array_next(csj_value value, csj_value *position, csj_value *element) {
  dom::array array;
  (void)unwrap<dom::element>(value).get_array().get(array);
  auto iterator = unwrap<dom::array::iterator>(*position);
  if (!(iterator != array.end())) return false;
  *element = wrap(*iterator);
  *position = wrap(++iterator);
  return true;
}

csj_value csj_object_begin(csj_value value) {
  dom::object object;
  (void)unwrap<dom::element>(value).get_object().get(object);
  return wrap(object.begin());
}

bool csj_object_next(csj_value object_value, csj_value *position, const char **name,
                     size_t *name_count, csj_value *value) {
  dom::object object;
  (void)unwrap<dom::element>(object_value).get_object().get(object);
  auto iterator = unwrap<dom::object::iterator>(*position);
  if (!(iterator != object.end())) return false;
  auto key = iterator.key();
  *name = key.data();
  *name_count = key.size();
  *value = wrap(iterator.value());
  *position = wrap(++iterator);
  return true;
}

template <typename Element, typename Read>
static size_t copy_array(csj_value value, Element *elements, size_t capacity, Read read) {
  dom::array array;
  if (unwrap<dom::element>(value).get_array().get(array) != SUCCESS) return 0;
  size_t copied = 0;
  for (dom::element element : array) {
    if (copied == capacity || !read(element, elements[copied])) break;
    copied++;
  }
  return copied;
}

template <typename Integer>
static size_t copy_integers(csj_value value, Integer *integers, size_t capacity, int64_t least,
                            int64_t most) {
  return copy_array(value, integers, capacity, [=](dom::element element, Integer &integer) {
    int64_t read;
    // A real number would be converted otherwise.
    if (!element.is_int64() || element.get_int64().get(read) != SUCCESS) return false;
    integer = static_cast<Integer>(read);
    return least <= read && read <= most;
  });
}

size_t csj_array_copy_tokens(csj_value value, int32_t *tokens, size_t capacity) {
  return copy_integers(value, tokens, capacity, 0, INT32_MAX - 1);
}

size_t csj_array_copy_int32(csj_value value, int32_t *integers, size_t capacity) {
  return copy_integers(value, integers, capacity, INT32_MIN, INT32_MAX);
}

size_t csj_array_copy_int64(csj_value value, int64_t *integers, size_t capacity) {
  return copy_integers(value, integers, capacity, INT64_MIN, INT64_MAX);
}

size_t csj_array_copy_float(csj_value value, float *numbers, size_t capacity) {
  return copy_array(value, numbers, capacity, [](dom::element element, float &number) {
    double read;
    if (element.get_double().get(read) != SUCCESS) return false;
    number = static_cast<float>(read);
    return true;
  });
}

template <typename Number> static size_t write_number(Number number, uint8_t *text) {
  auto *first = reinterpret_cast<char *>(text);
  return std::to_chars(first, first + csj_number_bytes_max, number).ptr - first;
}

size_t csj_write_float(float number, uint8_t *text) { return write_number(number, text); }
size_t csj_write_double(double number, uint8_t *text) { return write_number(number, text); }
