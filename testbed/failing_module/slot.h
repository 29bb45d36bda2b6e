// What a failing module keeps of each slot and each session of the module it wraps.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <string>

#include "base/mutex.h"
#include "cryptoki/call.h"
#include "testbed/failing_module/tally.h"

namespace p11ha::testbed {

/// Those whose calls are under way. Any thread.
class Occupancy {
 public:
  /// What leave() wants to have back.
  unsigned enter() {
    const unsigned turn = turn_.load(std::memory_order_seq_cst) % 2;
    inside_[turn].fetch_add(1, std::memory_order_seq_cst);
    return turn;
  }
  void leave(unsigned turn) {
    // Sequentially consistent on both sides: either we see somebody draining, or he sees that we have left.
    if (inside_[turn].fetch_sub(1, std::memory_order_seq_cst) == 1 && draining_.load(std::memory_order_seq_cst)) wake();
  }
  /// Waits for those who entered before, however many enter meanwhile. One thread at a time.
  void drain();

 private:
  void wake();

  std::atomic<unsigned> turn_{0};
  std::array<std::atomic<long>, 2> inside_{};
  std::atomic<bool> draining_{false};
  base::Mutex mutex_;
  base::Condition left_;
};

/// Counters of the calls of one slot, or of those that name none. Any thread.
struct Counters {
  struct Counter {
    std::atomic<std::uint64_t> passed{0};
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint64_t> waiting{0};
  };
  std::array<Counter, cryptoki::kFunctionCount> of;

  Counter& operator[](cryptoki::Fn fn) { return of[static_cast<std::size_t>(fn)]; }
  void addTo(Tally& tally, const std::string& slot, const std::string& serial) const;
  void clear();
};

/// Made when the slot is first seen, never freed. Any thread.
class Slot {
 public:
  Slot(CK_SLOT_ID id, std::uint8_t index) : id_(id), index_(index) {}

  CK_SLOT_ID id() const { return id_; }
  std::uint8_t index() const { return index_; }
  Counters& counters() { return counters_; }
  Occupancy& occupancy() { return occupancy_; }

  /// Of the token in it; empty while there is none. Asks the wrapped module until it knows.
  std::string serial(const cryptoki::FunctionList& wrapped);
  void forgetSerial();

 private:
  const CK_SLOT_ID id_;
  const std::uint8_t index_;
  Counters counters_;
  Occupancy occupancy_;
  base::Mutex mutex_;
  std::string serial_ P11HA_GUARDED_BY(mutex_);
};

/// The slots seen, at most kSlots: calls on later ones are passed on unjudged. Any thread.
class Slots {
 public:
  static constexpr std::size_t kSlots = 255;

  /// nullptr: the table is full.
  Slot* at(CK_SLOT_ID id);
  Slot* byIndex(std::size_t index) const { return slots_[index].load(std::memory_order_acquire); }
  template <class Visitor>
  void forEach(Visitor visit) const {
    for (std::size_t i = 0; i < count_.load(std::memory_order_acquire); ++i) visit(*byIndex(i));
  }

 private:
  Slot* find(CK_SLOT_ID id) const;

  std::array<std::atomic<Slot*>, kSlots> slots_{};
  std::atomic<std::size_t> count_{0};
  base::Mutex growing_;
};

/// Which slot a session belongs to. Finding is one load as a rule. Any thread.
class Sessions {
 public:
  void note(CK_SESSION_HANDLE session, const Slot& slot);
  void forget(CK_SESSION_HANDLE session);
  void forgetAll(const Slot& slot);
  void clear();
  /// The index of its slot, or -1: not a session that was opened through this module.
  int find(CK_SESSION_HANDLE session) const;

 private:
  // Handles of most modules are small consecutive numbers, so that a handle's low bits rarely meet another's.
  static constexpr std::size_t kEntries = 16384;
  static constexpr int kIndexBits = 8;
  static constexpr CK_SESSION_HANDLE kDirectHandles = CK_SESSION_HANDLE{1} << (64 - kIndexBits);

  static std::size_t place(CK_SESSION_HANDLE session) { return session % kEntries; }

  std::array<std::atomic<std::uint64_t>, kEntries> direct_{};  // handle << kIndexBits | slot index; 0: free
  std::atomic<std::size_t> overflowCount_{0};
  mutable base::Mutex mutex_;
  std::map<CK_SESSION_HANDLE, std::uint8_t> overflow_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::testbed
