#include "ha/session.h"

#include <algorithm>
#include <bit>

#include "base/cancellation.h"

namespace p11ha::ha {

Operation* Session::findActive() {
  for (; begun != 0; begun = static_cast<std::uint16_t>(begun & (begun - 1U))) {
    Operation& operation = operations[static_cast<std::size_t>(std::countr_zero(begun))];
    if (operation.active()) return &operation;
  }
  return nullptr;
}

bool Session::anyOn(unsigned member) const {
  return std::any_of(operations.begin(), operations.end(), [member](const Operation& operation) {
    return operation.standing != Standing::Idle && operation.epoch != 0 && operation.member == member;
  });
}

bool Session::allRestorableOn(unsigned member) const {
  return std::all_of(operations.begin(), operations.end(), [member](const Operation& operation) {
    return operation.standing != Standing::Active || operation.epoch == 0 || operation.member != member ||
           operation.restorable();
  });
}

void Session::displace(unsigned member) {
  for (Operation& operation : operations) {
    if (operation.member != member) continue;
    operation.epoch = 0;
    if (operation.standing == Standing::Doubtful) operation.end();
  }
}

SessionTable::~SessionTable() {
  for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
}

Session* SessionTable::open(SessionOwner& owner, CK_FLAGS flags, const std::function<void(Session&)>& set) {
  std::uint32_t index = 0;
  std::uint64_t generation = 0;
  {
    base::Lock lock(mutex_);
    if (free_.empty()) {
      if (made_ == kMaxSessions) return nullptr;
      auto chunk = std::make_unique<Chunk>();
      for (std::size_t i = kChunk; i-- > 0;) {
        chunk->sessions[i].index_ = static_cast<std::uint32_t>(made_ + i);
        free_.push_back(static_cast<std::uint32_t>(made_ + i));
      }
      chunks_[made_ / kChunk].store(chunk.release(), std::memory_order_release);
      made_ += kChunk;
    }
    index = free_.back();
    free_.pop_back();
    generation = ++generation_;
  }
  Session& session = *at(index);
  session.mutex.lock();
  session.flags.store(flags, std::memory_order_relaxed);
  session.owner.store(&owner, std::memory_order_relaxed);
  set(session);
  session.handle.store(generation * kMaxSessions | index, std::memory_order_release);
  session.mutex.unlock();
  return &session;
}

void SessionTable::cleanUpIfFree(Session& session) {
  const base::Uncancelled uncancelled;  // whatever the call was in which the session's end is found
  // Whoever cannot get the lock leaves the work to its holder, who looks again after unlocking.
  while (session.closing_.load(std::memory_order_seq_cst) && session.mutex.tryLock()) {
    const bool ours = session.closing_.exchange(false, std::memory_order_seq_cst);
    if (ours) {
      session.owner.load(std::memory_order_relaxed)->closing(session);
      for (Operation& operation : session.operations) {
        operation.end();
        operation.mechanism.clear();
        operation.key.reset();
      }
      session.search = {};
      session.aside.clear();
      session.objects.clear();
      session.recent = {};
      session.owner.store(nullptr, std::memory_order_relaxed);
    }
    const std::uint32_t index = session.index_;
    session.mutex.unlock();
    if (ours) {
      base::Lock lock(mutex_);
      free_.push_back(index);
    }
  }
}

bool SessionTable::close(CK_SESSION_HANDLE handle) {
  Session* session = handle == CK_INVALID_HANDLE ? nullptr : at(handle % kMaxSessions);
  if (session == nullptr) return false;
  CK_SESSION_HANDLE expected = handle;
  if (!session->handle.compare_exchange_strong(expected, CK_INVALID_HANDLE)) return false;
  session->closing_.store(true, std::memory_order_seq_cst);
  cleanUpIfFree(*session);
  return true;
}

std::size_t SessionTable::closeAll(const SessionOwner& owner) {
  std::size_t closed = 0;
  visit([&](Session& session) {
    const CK_SESSION_HANDLE handle = session.handle.load(std::memory_order_acquire);
    if (handle != CK_INVALID_HANDLE && session.owner.load(std::memory_order_acquire) == &owner && close(handle))
      ++closed;
  });
  return closed;
}

SessionTable::Count SessionTable::count(const SessionOwner& owner) const {
  Count count;
  visit([&](Session& session) {
    if (session.handle.load(std::memory_order_acquire) == CK_INVALID_HANDLE) return;
    if (session.owner.load(std::memory_order_acquire) != &owner) return;
    ++count.all;
    if (session.readWrite()) ++count.readWrite;
  });
  return count;
}

void SessionTable::visit(const std::function<void(Session&)>& visitor) const {
  for (const auto& entry : chunks_) {
    Chunk* chunk = entry.load(std::memory_order_acquire);
    if (chunk == nullptr) return;
    for (Session& session : chunk->sessions) visitor(session);
  }
}

}  // namespace p11ha::ha
