// A client's calls use the types of the wire and of drafts, so importing the client also imports
// them.
@_exported import RepriseModel
@_exported import WireProtocol
