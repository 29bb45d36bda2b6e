// The application's sessions, and all of them.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "base/light_mutex.h"
#include "ha/group.h"
#include "ha/operation.h"

namespace p11ha::ha {

class Session;

/// Whom a session belongs to.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  /// The session was closed: gives back what it held. Called once, with its lock held, on whichever thread had it last.
  virtual void closing(Session& session) = 0;
};

/// What a search found: all of it is known when it begins. That it goes on is Op::Find's standing.
struct Search {
  std::vector<CK_OBJECT_HANDLE> found;
  std::size_t next = 0;
};

/// What the watchdog sees of a call that runs now.
struct RunningCall {
  struct What {
    std::uint32_t epoch = 0;
    std::uint8_t member = 0;
    cryptoki::Fn fn{};
  };
  std::atomic<std::int64_t> since{0};  // milliseconds of the group's coarse clock; 0: none
  std::atomic<What> what{};
};

/// One session. Its memory is the table's and is used again for other sessions; the handle tells them apart.
class Session {
 public:
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Held for as long as a call on this session runs: the only lock of ours that is.
  base::LightMutex mutex;

  std::atomic<CK_SESSION_HANDLE> handle{CK_INVALID_HANDLE};
  std::atomic<SessionOwner*> owner{nullptr};
  std::atomic<CK_FLAGS> flags{0};
  RunningCall running;
  /// Calls made on each member. Whoever holds the session counts; read by anyone.
  std::array<std::atomic<std::uint64_t>, kMaxMembers> calls{};

  CK_SLOT_ID slot P11HA_GUARDED_BY(mutex) = 0;
  CK_VOID_PTR application P11HA_GUARDED_BY(mutex) = nullptr;  // pApplication and Notify stay in this process
  CK_NOTIFY notify P11HA_GUARDED_BY(mutex) = nullptr;
  std::array<MemberSession, kMaxMembers> members P11HA_GUARDED_BY(mutex);
  /// Sessions on members, no longer called in, that are kept for the objects made in them.
  std::vector<std::pair<unsigned, MemberSession>> aside P11HA_GUARDED_BY(mutex);
  std::array<Operation, cryptoki::kOpCount> operations P11HA_GUARDED_BY(mutex);
  cryptoki::Op latest P11HA_GUARDED_BY(mutex) = cryptoki::Op::None;  // begun last
  Search search P11HA_GUARDED_BY(mutex);
  std::vector<ObjectPtr> objects P11HA_GUARDED_BY(mutex);  // session objects made here
  /// The objects that the last call named, by their place in it: spares the table's lock where one key is used again
  /// and again.
  std::array<ObjectPtr, 2> recent P11HA_GUARDED_BY(mutex);
  /// Whose turn it is among equally busy members, for each kind of operation.
  std::array<std::uint8_t, cryptoki::kOpCount> turns P11HA_GUARDED_BY(mutex){};

  Operation& operation(cryptoki::Op op) P11HA_REQUIRES(mutex) { return operations[static_cast<std::size_t>(op)]; }
  /// Any operation that is active, so that others begin on its member; nullptr if none is.
  Operation* anyActive() P11HA_REQUIRES(mutex) { return begun == 0 ? nullptr : findActive(); }
  /// An operation has become active.
  void noteBegun(cryptoki::Op op) P11HA_REQUIRES(mutex) {
    begun = static_cast<std::uint16_t>(begun | 1U << static_cast<unsigned>(op));
  }
  /// It is not active any more. Need not be said.
  void noteEnded(cryptoki::Op op) P11HA_REQUIRES(mutex) {
    begun = static_cast<std::uint16_t>(begun & ~(1U << static_cast<unsigned>(op)));
  }
  /// Could an operation, active or doubtful, be in the session on that member?
  bool anyOn(unsigned member) const P11HA_REQUIRES(mutex);
  /// Can all that are there be begun again elsewhere?
  bool allRestorableOn(unsigned member) const P11HA_REQUIRES(mutex);
  /// The session on that member is gone, and what was active in it has no place now.
  void displace(unsigned member) P11HA_REQUIRES(mutex);
  /// Which of the table's sessions it is.
  unsigned ordinal() const { return index_; }
  bool readWrite() const { return (flags.load(std::memory_order_relaxed) & CKF_RW_SESSION) != 0; }

 private:
  friend class SessionTable;
  Operation* findActive() P11HA_REQUIRES(mutex);

  static_assert(cryptoki::kOpCount <= 16);
  std::uint16_t begun P11HA_GUARDED_BY(mutex) = 0;  // operations that may be active, a bit each
  std::atomic<bool> closing_{false};                // closed, and not yet cleaned up
  std::uint32_t index_ = 0;
};

/// The sessions of all tokens of the process. Finding one takes no lock but the session's own. A closed session whose
/// call still runs is cleaned up by that call. Any thread.
class SessionTable {
 public:
  static constexpr std::size_t kMaxSessions = std::size_t{1} << 16;

  SessionTable() = default;
  ~SessionTable();
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  /// A new session; nullptr when there are kMaxSessions. `set` fills it, with its lock held, before anyone can find it.
  Session* open(SessionOwner& owner, CK_FLAGS flags, const std::function<void(Session&)>& set);

  /// Locks the session of that handle for the caller; nullptr, and nothing locked, if there is none.
  Session* lock(CK_SESSION_HANDLE handle) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    Session* session = handle == CK_INVALID_HANDLE ? nullptr : at(handle % kMaxSessions);
    if (session == nullptr) return nullptr;
    session->mutex.lock();
    if (session->handle.load(std::memory_order_relaxed) == handle) [[likely]]
      return session;
    unlock(*session);
    return nullptr;
  }
  /// Unlocks, and cleans up if it was closed meanwhile.
  void unlock(Session& session) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    session.mutex.unlock();
    if (session.closing_.load(std::memory_order_seq_cst)) [[unlikely]]
      cleanUpIfFree(session);
  }

  /// False if there is no such session.
  bool close(CK_SESSION_HANDLE handle);
  /// Closes every session of the owner; how many there were.
  std::size_t closeAll(const SessionOwner& owner);
  /// Open sessions of the owner: all, and those that are read-write.
  struct Count {
    std::size_t all = 0;
    std::size_t readWrite = 0;
  };
  Count count(const SessionOwner& owner) const;

  /// Visits every session there is, open or not, without its lock: for what is atomic in it.
  void visit(const std::function<void(Session&)>& visitor) const;

 private:
  static constexpr std::size_t kChunk = 64;
  struct Chunk {
    std::array<Session, kChunk> sessions;
  };

  Session* at(std::size_t index) const {
    Chunk* chunk = chunks_[index / kChunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk->sessions.data() + index % kChunk;
  }
  [[gnu::cold]] void cleanUpIfFree(Session& session) P11HA_NO_THREAD_SAFETY_ANALYSIS;

  std::array<std::atomic<Chunk*>, kMaxSessions / kChunk> chunks_{};
  mutable base::Mutex mutex_;
  std::vector<std::uint32_t> free_ P11HA_GUARDED_BY(mutex_);
  std::size_t made_ P11HA_GUARDED_BY(mutex_) = 0;
  std::uint64_t generation_ P11HA_GUARDED_BY(mutex_) = 0;
};

}  // namespace p11ha::ha
