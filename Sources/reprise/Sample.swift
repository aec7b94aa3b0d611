import ArgumentParser
import Foundation

struct Sample: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write sample sequences that look like an agent's day.",
    discussion: """
      Tool calls, SQL and code edits over a small world of customers, tables and files, as token \
      ids. This program generates them from a seed, for trials without data of one's own. Two \
      workers (--seed 1 and --seed 2) do different work in the same world.

      EXAMPLES
        reprise sample --records 200 --seed 1 | reprise replay --warm 100 -
        reprise sample --words > words.tsv
      """)

  @Option(help: "Records to write.") var records = 200
  @Option(help: "Number of the worker.") var seed: UInt64 = 1
  @Flag(help: "Write the text of each token instead: token id, tab, text.") var words = false

  func validate() throws {
    if !(0...1_000_000).contains(records) {
      throw ValidationError("--records is \(records), expected 0 to 1000000")
    }
  }

  func run() {
    var day = AgentDay(seed: seed)
    if words {
      // Every word of the world occurs within a few hundred records.
      for _ in 0..<2000 { _ = day.next() }
      for (word, token) in day.vocabulary.sorted(by: { $0.value < $1.value }) {
        print("\(token)\t\(word == "\n" ? "↵" : word)")
      }
      return
    }
    for record in 0..<records {
      let (prompt, response) = day.next()
      print(
        "{\"id\":\"\(seed)-\(record)\",\"prompt\":[\(Self.list(prompt))],"
          + "\"response\":[\(Self.list(response))]}")
    }
  }

  private static func list(_ tokens: [Int32]) -> String {
    tokens.map(String.init).joined(separator: ",")
  }
}

/// An agent at work: requests of one kind after the other, each with the answer it writes.
struct AgentDay {
  private var state: UInt64
  /// Token ids by word. An id depends on the word alone, so that all workers agree.
  private(set) var vocabulary: [String: Int32] = [:]

  private static let names = ["Ada", "Ben", "Chen", "Dora", "Emil", "Fay", "Gus", "Hana"]
  private static let cities = ["Oslo", "Lima", "Porto", "Kyoto", "Cork"]
  private static let tables = ["orders", "flights", "customers", "invoices"]
  private static let columns = ["id", "total", "created_at", "city", "status"]
  private static let files = ["router", "session", "billing", "search", "export"]
  private static let functions = ["load", "save", "merge", "parse", "check"]

  init(seed: UInt64) {
    state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
  }

  private mutating func draw(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }

  private mutating func pick(_ words: [String]) -> String { words[draw(words.count)] }

  /// The next request and its answer.
  mutating func next() -> (prompt: [Int32], response: [Int32]) {
    let (prompt, response) =
      switch draw(3) {
      case 0: toolCall()
      case 1: query()
      default: edit()
      }
    return (tokens(prompt), tokens(response))
  }

  private mutating func toolCall() -> (String, String) {
    let (name, from, to) = (pick(Self.names), pick(Self.cities), pick(Self.cities))
    let (day, booking) = (1 + draw(28), 100 + draw(400))
    return (
      "user : I am \(name) , booking \(booking) ; move my flight from \(from) to \(to) to day \(day)",
      """
      { "tool" : "get_booking" , "arguments" : { "booking_id" : \(booking) , "customer" : \
      "\(name)" } } \n { "tool" : "search_flights" , "arguments" : { "origin" : "\(from)" , \
      "destination" : "\(to)" , "day" : \(day) , "cabin" : "economy" , "seats" : 1 } } \n \
      { "tool" : "update_booking" , "arguments" : { "booking_id" : \(booking) , "day" : \(day) , \
      "payment" : "original_method" } } \n I have moved your flight from \(from) to \(to) to day \
      \(day) . A confirmation is on its way . Is there anything else that I can do for you ?
      """
    )
  }

  private mutating func query() -> (String, String) {
    let (table, column, city) = (pick(Self.tables), pick(Self.columns), pick(Self.cities))
    let limit = 5 * (1 + draw(4))
    return (
      "user : the top \(limit) \(table) by \(column) for customers in \(city)",
      """
      SELECT t . id , t . \(column) , c . name FROM \(table) AS t JOIN customers AS c ON c . id = \
      t . customer_id WHERE c . city = '\(city)' AND t . status = 'open' GROUP BY t . id , \
      t . \(column) , c . name ORDER BY t . \(column) DESC LIMIT \(limit) ;
      """
    )
  }

  private mutating func edit() -> (String, String) {
    let (file, function) = (pick(Self.files), pick(Self.functions))
    let line = 10 + draw(90)
    return (
      "user : \(function) in \(file) . py fails when the input is empty",
      """
      I will guard against empty input . \n ``` diff \n --- a / \(file) . py \n +++ b / \(file) \
      . py \n @@ - \(line) , 4 + \(line) , 6 @@ \n def \(function) ( self , data ) : \n + if not \
      data : \n + return None \n result = self . \(function)_one ( data ) \n self . cache . \
      update ( result ) \n return result \n ``` \n The guard returns early , so that the cache is \
      not touched . All tests pass .
      """
    )
  }

  private mutating func tokens(_ text: String) -> [Int32] {
    text.split(separator: " ").map { word in
      let word = String(word)
      if let token = vocabulary[word] { return token }
      // FNV-1a: spreads words over ids without a table that workers would have to share.
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for byte in word.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      let token = Int32((hash ^ hash >> 32) % 100_000)
      vocabulary[word] = token
      return token
    }
  }
}
