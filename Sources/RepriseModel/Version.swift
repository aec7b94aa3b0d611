/// The version of Reprise, as `server.info`, the metrics and `reprise --version` show it.
public let repriseVersion = "0.1.0"
