// One object of a group's token, as the application knows it, and where its members hold it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "ha/identity.h"
#include "ha/policy.h"
#include "ha/witness.h"

namespace p11ha::ha {

/// What is known of an object on one member, under the member's present epoch.
enum class Holding : std::uint8_t {
  Unknown,    // not looked for yet
  Absent,     // looked for, not there
  Claimed,    // one that looks like it is there; whether it is the same key is not yet proved
  Ambiguous,  // one that looks like it is there, and was found to be another, or nothing can tell: left alone
  Held,
};

/// Owned by the ObjectTable and by the calls that use it. The virtual handle is never given to another object. Reading
/// where it is held takes no lock; changes take the object's own.
class Object {
 public:
  /// `owner` is the virtual session that a session object ends with, 0 for a token object.
  Object(CK_OBJECT_HANDLE handle, CK_SESSION_HANDLE owner, Identity identity)
      : handle_(handle),
        owner_(owner),
        wantsWitness_(identity.objectClass == CKO_SECRET_KEY && identity.token),
        lent_(identity.lent),
        identity_(std::move(identity)) {}

  CK_OBJECT_HANDLE handle() const { return handle_; }
  CK_SESSION_HANDLE owner() const { return owner_; }
  bool isSessionObject() const { return owner_ != CK_INVALID_HANDLE; }
  Identity identity() const P11HA_EXCLUDES(mutex_);
  void setIdentity(Identity identity) P11HA_EXCLUDES(mutex_);
  /// Material that may be its own: taken where it has none.
  void lend(const std::vector<std::uint8_t>& material) P11HA_EXCLUDES(mutex_);
  /// The material is lent (Identity::lent).
  bool isLent() const { return lent_.load(std::memory_order_acquire); }
  /// Whether it is its own: then it stays, else the object has none.
  void settle(const std::vector<std::uint8_t>& material, bool own) P11HA_EXCLUDES(mutex_);

  /// Members on which it may be used: Held or Claimed, under whichever epoch. A stale bit does no harm: at() tells.
  MemberMask usable() const { return usable_.load(std::memory_order_acquire); }
  /// Members of which it is known whether they hold it.
  MemberMask known() const { return known_.load(std::memory_order_acquire); }

  Holding holding(unsigned member, std::uint32_t epoch) const {
    const std::uint64_t state = bindings_[member].state.load(std::memory_order_acquire);
    return state >> 8 == epoch ? static_cast<Holding>(state & 0xff) : Holding::Unknown;
  }
  /// The member's own handle, or CK_INVALID_HANDLE.
  CK_OBJECT_HANDLE at(unsigned member, std::uint32_t epoch) const {
    const Holding known = holding(member, epoch);
    return known == Holding::Held || known == Holding::Claimed ? lastAt(member) : CK_INVALID_HANDLE;
  }

  /// The handle last bound on that member, whatever became of it.
  CK_OBJECT_HANDLE lastAt(unsigned member) const { return bindings_[member].handle.load(std::memory_order_relaxed); }

  /// A secret key that outlives its session has to be known again, whoever else holds it by then: true as long as it
  /// has not been asked for a witness.
  bool wantsWitness() const { return wantsWitness_.load(std::memory_order_relaxed); }
  void setWitness(Witness witness) P11HA_EXCLUDES(mutex_);
  /// Nothing where the key bore none.
  std::optional<Witness> witness() const P11HA_EXCLUDES(mutex_);

  /// False once the object is destroyed: whoever just made a copy on that member must remove it again.
  bool bind(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) P11HA_EXCLUDES(mutex_);
  void markAbsent(unsigned member, std::uint32_t epoch) P11HA_EXCLUDES(mutex_);
  void markAmbiguous(unsigned member, std::uint32_t epoch) P11HA_EXCLUDES(mutex_);
  bool alive() const { return alive_.load(std::memory_order_acquire); }
  /// True for the one caller that ended it.
  bool end() P11HA_EXCLUDES(mutex_);

 private:
  struct Binding {
    std::atomic<std::uint64_t> state{0};  // epoch << 8 | Holding
    std::atomic<CK_OBJECT_HANDLE> handle{CK_INVALID_HANDLE};
  };
  void set(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) P11HA_REQUIRES(mutex_);

  const CK_OBJECT_HANDLE handle_;
  const CK_SESSION_HANDLE owner_;
  std::atomic<bool> alive_{true};
  std::atomic<MemberMask> usable_{0};
  std::atomic<MemberMask> known_{0};
  std::atomic<bool> wantsWitness_;
  std::atomic<bool> lent_;
  std::array<Binding, kMaxMembers> bindings_;
  mutable base::Mutex mutex_;
  Identity identity_ P11HA_GUARDED_BY(mutex_);
  std::optional<Witness> witness_ P11HA_GUARDED_BY(mutex_);
};

using ObjectPtr = std::shared_ptr<Object>;

}  // namespace p11ha::ha
