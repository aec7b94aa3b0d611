// A client's calls take and give the types of the wire and of drafts, so whoever imports the
// client has them too.
@_exported import Drafting
@_exported import WireProtocol
