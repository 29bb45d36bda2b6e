#include "testbed/failing_module/slot.h"

#include <algorithm>

#include "cryptoki/text.h"

namespace p11ha::testbed {

void Occupancy::drain() {
  draining_.store(true, std::memory_order_seq_cst);
  // Twice, because somebody may have looked at the turn long ago and have entered only now.
  for (int i = 0; i < 2; ++i) {
    const unsigned turn = turn_.fetch_add(1, std::memory_order_seq_cst) % 2;
    base::Lock lock(mutex_);
    while (inside_[turn].load(std::memory_order_seq_cst) != 0) left_.wait(mutex_);
  }
  draining_.store(false, std::memory_order_seq_cst);
}

void Occupancy::wake() {
  base::Lock lock(mutex_);
  left_.notifyAll();
}

void Counters::addTo(Tally& tally, const std::string& slot, const std::string& serial) const {
  for (std::size_t i = 0; i < of.size(); ++i) {
    tally.add(slot, serial, i,
              {of[i].passed.load(std::memory_order_relaxed), of[i].refused.load(std::memory_order_relaxed),
               of[i].waiting.load(std::memory_order_relaxed)});
  }
}

void Counters::clear() {
  for (Counter& each : of) {
    each.passed.store(0, std::memory_order_relaxed);
    each.refused.store(0, std::memory_order_relaxed);
  }
}

std::string Slot::serial(const cryptoki::FunctionList& wrapped) {
  {
    base::Lock lock(mutex_);
    if (!serial_.empty()) return serial_;
  }
  CK_TOKEN_INFO info{};
  if (cryptoki::invoke(wrapped, cryptoki::makeCall<cryptoki::Fn::GetTokenInfo>(id_, &info)) != CKR_OK) return {};
  std::string serial = cryptoki::unpad(info.serialNumber);
  std::replace(serial.begin(), serial.end(), ' ', '_');
  base::Lock lock(mutex_);
  serial_ = serial;
  return serial;
}

void Slot::forgetSerial() {
  base::Lock lock(mutex_);
  serial_.clear();
}

Slot* Slots::find(CK_SLOT_ID id) const {
  for (std::size_t i = 0; i < count_.load(std::memory_order_acquire); ++i) {
    if (byIndex(i)->id() == id) return byIndex(i);
  }
  return nullptr;
}

Slot* Slots::at(CK_SLOT_ID id) {
  if (Slot* known = find(id)) return known;
  base::Lock lock(growing_);
  if (Slot* known = find(id)) return known;
  const std::size_t count = count_.load(std::memory_order_relaxed);
  if (count == kSlots) return nullptr;
  auto* made = new Slot(id, static_cast<std::uint8_t>(count));
  slots_[count].store(made, std::memory_order_release);
  count_.store(count + 1, std::memory_order_release);
  return made;
}

void Sessions::note(CK_SESSION_HANDLE session, const Slot& slot) {
  std::uint64_t free = 0;
  if (session < kDirectHandles &&
      direct_[place(session)].compare_exchange_strong(free, session << kIndexBits | slot.index())) {
    return;
  }
  base::Lock lock(mutex_);
  overflow_[session] = slot.index();
  overflowCount_.store(overflow_.size(), std::memory_order_release);
}

void Sessions::forget(CK_SESSION_HANDLE session) {
  auto& entry = direct_[place(session)];
  std::uint64_t seen = entry.load(std::memory_order_acquire);
  if (seen >> kIndexBits == session && entry.compare_exchange_strong(seen, 0)) return;
  base::Lock lock(mutex_);
  overflow_.erase(session);
  overflowCount_.store(overflow_.size(), std::memory_order_release);
}

void Sessions::forgetAll(const Slot& slot) {
  for (auto& entry : direct_) {
    std::uint64_t seen = entry.load(std::memory_order_acquire);
    if (seen != 0 && (seen & ((1U << kIndexBits) - 1)) == slot.index()) entry.compare_exchange_strong(seen, 0);
  }
  base::Lock lock(mutex_);
  std::erase_if(overflow_, [&](const auto& each) { return each.second == slot.index(); });
  overflowCount_.store(overflow_.size(), std::memory_order_release);
}

void Sessions::clear() {
  for (auto& entry : direct_) entry.store(0, std::memory_order_release);
  base::Lock lock(mutex_);
  overflow_.clear();
  overflowCount_.store(0, std::memory_order_release);
}

int Sessions::find(CK_SESSION_HANDLE session) const {
  const std::uint64_t entry = direct_[place(session)].load(std::memory_order_acquire);
  if (entry != 0 && entry >> kIndexBits == session) return static_cast<int>(entry & ((1U << kIndexBits) - 1));
  if (overflowCount_.load(std::memory_order_acquire) == 0) return -1;
  base::Lock lock(mutex_);
  const auto found = overflow_.find(session);
  return found == overflow_.end() ? -1 : found->second;
}

}  // namespace p11ha::testbed
