import RepriseModel

/// Tests and tools name corpora by numbers. In the product a text becomes a name through the failable
/// initialiser alone.
extension CorpusName: ExpressibleByStringInterpolation {}
