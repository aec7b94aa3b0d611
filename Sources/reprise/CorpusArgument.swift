import ArgumentParser
import RepriseModel

/// Reads the name of a corpus from an argument.
func corpusName(_ argument: String) throws -> CorpusName {
  guard let name = CorpusName(argument) else {
    throw ValidationError("\"\(argument)\" cannot name a corpus: expected \(CorpusName.rule)")
  }
  return name
}
