import RepriseModel

/// The parts of a corpus that its writer uses.
struct WriterContext: Sendable {
  let stored: StoredHistory
  let parts: PartStarter
  let unsaved: UnsavedSequences
  let placement: FilePlacement
  let room: RoomRequest
  let roomMaker: any RoomMaker
  let progress: CompactionProgress
  let activity: ActivityLog
  let options: StoreOptions
  let durability: Durability
}
