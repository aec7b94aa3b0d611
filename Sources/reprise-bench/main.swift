import CorpusStore
import Drafting
import Foundation
import WireProtocol

let args = CommandLine.arguments
let records = try readTrace(args[2], tokensMax: Int(args[3]).map { $0 + 300_000 } ?? .max)
let historyTokens = Int(args[3])!
let tree = args.count > 4 && args[4] == "tree"
let dir = "/tmp/b3/draft-\(args[3])"
try? FileManager.default.removeItem(atPath: dir)
var so = StoreOptions()
so.compactsInBackground = false
let store = try Store(path: dir, options: so)
let corpus = try store.createCorpus(named: "c", CorpusSettings())
var used = 0
var i = 0
var batch: [NewSequence] = []
while i < records.count && used < historyTokens {
  batch.append(NewSequence(tokens: records[i].output))
  used += records[i].output.count
  i += 1
  if batch.count == 512 { try corpus.insert(batch); batch = []
    do { try corpus.compact() }
  }
}
try corpus.insert(batch)
do { try corpus.compact() }
print(corpus.stats())
var scratch = DraftScratch()
var draft = Draft()
for round in 0..<(args.count > 5 ? Int(args[5])! : 2) {
var all = Times()
var opens = Times()
var n = 0
for r in records[i...].prefix(200) {
  let t0 = nanoseconds()
  let s = corpus.openSession(prompt: r.prompt, share: .close)
  opens.add(nanoseconds() - t0)
  var pos = 0
  var acc: ArraySlice<Int32> = []
  var options = DraftOptions(); options.tree = tree
  while pos < r.output.count {
    let t = nanoseconds()
    try s.step(accepting: acc.span, options, using: &scratch, into: &draft)
    all.add(nanoseconds() - t)
    var k = 0
    var parent: Int32 = -1
    for p in 0..<draft.count { if pos + k < r.output.count, draft.parents[p] == parent, draft.tokens[p] == r.output[pos + k] { parent = Int32(p); k += 1 } }
    acc = r.output[pos..<min(pos + k + 1, r.output.count)]
    pos += acc.count
    n += 1
  }
  s.close(record: false) { _ in }
}
print("round \(round) steps \(n) mean \(all.mean) p50 \(all.quantile(0.5)) p99 \(all.quantile(0.99)) p99.9 \(all.quantile(0.999)) max \(all.quantile(1))")
}
