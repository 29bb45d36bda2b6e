#include "ha/object.h"

namespace p11ha::ha {

Identity Object::identity() const {
  base::Lock lock(mutex_);
  return identity_;
}

void Object::setIdentity(Identity identity) {
  base::Lock lock(mutex_);
  if (identity.material.empty()) {
    identity.material = std::move(identity_.material);
    identity.lent = identity_.lent;
  }
  identity_ = std::move(identity);
  if (!identity_.material.empty()) unsettled_.store(identity_.lent, std::memory_order_release);
}

void Object::lend(const std::vector<std::uint8_t>& material) {
  base::Lock lock(mutex_);
  if (!identity_.material.empty()) return;
  identity_.material = material;
  identity_.lent = true;
  unsettled_.store(true, std::memory_order_release);
}

void Object::settle(const std::vector<std::uint8_t>& material, bool own, std::vector<std::uint8_t> shown) {
  base::Lock lock(mutex_);
  if (!unsettled_.load(std::memory_order_relaxed) || identity_.material != material) return;
  if (!own) identity_.material = std::move(shown);
  identity_.lent = false;
  unsettled_.store(false, std::memory_order_release);
}

void Object::setWitness(Witness witness) {
  base::Lock lock(mutex_);
  if (!witness.answer.empty()) witness_ = std::move(witness);
  wantsWitness_.store(false, std::memory_order_relaxed);
}

std::optional<Witness> Object::witness() const {
  base::Lock lock(mutex_);
  return witness_;
}

std::optional<notes::Truth> Object::truth() const {
  base::Lock lock(mutex_);
  return truth_;
}

void Object::setTruth(const notes::Truth& truth) {
  base::Lock lock(mutex_);
  truth_ = truth;
}

void Object::set(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) {
  Binding& binding = bindings_[member];
  // A call that was under way when its member failed may be late: what it knows of the member's earlier life is void.
  if (binding.state.load(std::memory_order_relaxed) >> 8 > epoch) return;
  const bool isThere = holding == Holding::Held || holding == Holding::Claimed;
  const bool hasGoneFrom = !isThere && (at(member, epoch) != CK_INVALID_HANDLE || hasGone(member, epoch));
  binding.handle.store(handle, std::memory_order_relaxed);
  binding.state.store(std::uint64_t{epoch} << 8 | (hasGoneFrom ? kGone : 0) | static_cast<std::uint64_t>(holding),
                      std::memory_order_release);
  if (isThere) {
    usable_.fetch_or(bit(member), std::memory_order_release);
  } else {
    usable_.fetch_and(~bit(member), std::memory_order_release);
  }
  if (holding == Holding::Unknown) {
    known_.fetch_and(~bit(member), std::memory_order_release);
  } else {
    known_.fetch_or(bit(member), std::memory_order_release);
  }
}

bool Object::bind(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) {
  base::Lock lock(mutex_);
  if (!alive_.load(std::memory_order_relaxed)) return false;
  set(member, epoch, handle, holding);
  return true;
}

void Object::markAbsent(unsigned member, std::uint32_t epoch) {
  base::Lock lock(mutex_);
  set(member, epoch, CK_INVALID_HANDLE, Holding::Absent);
}

bool Object::unbind(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) {
  base::Lock lock(mutex_);
  if (at(member, epoch) != handle) return false;
  set(member, epoch, CK_INVALID_HANDLE, holding);
  return true;
}

void Object::markAmbiguous(unsigned member, std::uint32_t epoch) {
  base::Lock lock(mutex_);
  set(member, epoch, CK_INVALID_HANDLE, Holding::Ambiguous);
}

void Object::forget(unsigned member, std::uint32_t epoch) {
  base::Lock lock(mutex_);
  set(member, epoch, CK_INVALID_HANDLE, Holding::Unknown);
  bindings_[member].state.fetch_and(~kGone, std::memory_order_release);
}

bool Object::end() {
  base::Lock lock(mutex_);
  return alive_.exchange(false, std::memory_order_acq_rel);
}

}  // namespace p11ha::ha
