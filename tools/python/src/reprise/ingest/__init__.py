"""History from logs: `python -m reprise.ingest` turns what models wrote into a corpus.

    formats      a line of a log → the outputs in it
    tokenizers   text → token ids, and a name for the tokenizer that two machines agree on
    sources      files, compressed or not, and how far each was read
    load         outputs → the service, in batches, as fast as it takes them
    command      arguments, messages, exit codes

It may be run again over the same logs: every output has an id that depends on the log alone, and
inserting an id twice changes nothing.
"""
