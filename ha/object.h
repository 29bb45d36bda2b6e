// One object of a group's token, as the application knows it, and where its members hold it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "ha/identity.h"
#include "ha/notes/note.h"
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

/// In which shape the members hold a key (sealed_shape.h), as far as was asked.
enum class Shape : std::uint8_t { Unknown, AsIs, Sealed };

/// Owned by the ObjectTable and by the calls that use it. The virtual handle is never given to another object. Reading
/// where it is held takes no lock; changes take the object's own.
class Object {
 public:
  /// `owner` is the virtual session that a session object ends with, 0 for a token object.
  Object(CK_OBJECT_HANDLE handle, CK_SESSION_HANDLE owner, Identity identity)
      : handle_(handle),
        owner_(owner),
        mayBeKey_(identity.isKey() || identity.objectClass == CK_UNAVAILABLE_INFORMATION),
        mayBeGenerated_(mayBeKey_ || identity.objectClass == CKO_PUBLIC_KEY ||
                        identity.objectClass == CKO_DOMAIN_PARAMETERS),
        wantsWitness_(identity.objectClass == CKO_SECRET_KEY && identity.token),
        unsettled_(identity.lent || (identity.token && identity.objectClass == CKO_PRIVATE_KEY &&
                                     identity.type == CKK_EC && identity.material.empty())),
        identity_(std::move(identity)) {}

  CK_OBJECT_HANDLE handle() const { return handle_; }
  CK_SESSION_HANDLE owner() const { return owner_; }
  bool isSessionObject() const { return owner_ != CK_INVALID_HANDLE; }
  /// Is it a private or secret key, or could it be, as nobody has read it yet?
  bool mayBeKey() const { return mayBeKey_; }
  /// Likewise, with public keys and domain parameters: what has CKA_LOCAL.
  bool mayBeGenerated() const { return mayBeGenerated_; }
  Shape shape() const { return shape_.load(std::memory_order_relaxed); }
  void setShape(Shape shape) { shape_.store(shape, std::memory_order_relaxed); }
  Identity identity() const P11HA_EXCLUDES(mutex_);
  /// As it was read anew: material that was found otherwise stays where none was read.
  void setIdentity(Identity identity) P11HA_EXCLUDES(mutex_);
  /// Material that may be its own: taken where it has none.
  void lend(const std::vector<std::uint8_t>& material) P11HA_EXCLUDES(mutex_);
  /// The material is lent (Identity::lent), or a private key that could show its own has none: nobody has asked it yet.
  bool isUnsettled() const { return unsettled_.load(std::memory_order_acquire); }
  /// Whether it is its own: then it stays, else `shown` takes its place: what it was found to be made of, or nothing.
  void settle(const std::vector<std::uint8_t>& material, bool own, std::vector<std::uint8_t> shown = {})
      P11HA_EXCLUDES(mutex_);

  /// The application has been given its handle, and what it is will be known whoever is lost: it is this key from now
  /// on, and no other of its looks.
  bool isTold() const { return told_.load(std::memory_order_acquire); }
  void setTold() { told_.store(true, std::memory_order_release); }

  /// A call makes it on one member after the other: to copy it to one that it has not come to is that call's work.
  bool isUnderWay() const { return underWay_.load(std::memory_order_acquire); }
  void setUnderWay(bool underWay) { underWay_.store(underWay, std::memory_order_release); }
  /// It was found where something else of its looks is expected, and nobody could tell yet whether it is that.
  bool isDoubtful() const { return doubtful_.load(std::memory_order_relaxed); }
  void setDoubtful(bool doubtful) { doubtful_.store(doubtful, std::memory_order_relaxed); }

  /// Members on which it may be used: Held or Claimed, under whichever epoch. A stale bit does no harm: at() tells.
  MemberMask usable() const { return usable_.load(std::memory_order_acquire); }
  /// Members of which it is known whether they hold it.
  MemberMask known() const { return known_.load(std::memory_order_acquire); }

  Holding holding(unsigned member, std::uint32_t epoch) const {
    const std::uint64_t state = bindings_[member].state.load(std::memory_order_acquire);
    return state >> 8 == epoch ? static_cast<Holding>(state & kHolding) : Holding::Unknown;
  }
  /// The member was seen to hold it under that epoch, and later not to.
  bool hasGone(unsigned member, std::uint32_t epoch) const {
    const std::uint64_t state = bindings_[member].state.load(std::memory_order_acquire);
    return state >> 8 == epoch && (state & kGone) != 0;
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
  /// What the application reads of it, in so far as no member need know it (notes/note.h). Nothing: not known here.
  std::optional<notes::Truth> truth() const P11HA_EXCLUDES(mutex_);
  void setTruth(const notes::Truth& truth) P11HA_EXCLUDES(mutex_);

  void setWitness(Witness witness) P11HA_EXCLUDES(mutex_);
  /// Nothing where the key bore none.
  std::optional<Witness> witness() const P11HA_EXCLUDES(mutex_);

  /// False once the object is destroyed: whoever just made a copy on that member must remove it again.
  bool bind(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) P11HA_EXCLUDES(mutex_);
  void markAbsent(unsigned member, std::uint32_t epoch) P11HA_EXCLUDES(mutex_);
  void markAmbiguous(unsigned member, std::uint32_t epoch) P11HA_EXCLUDES(mutex_);
  /// It is not at that handle: Unknown, or Absent. False, and nothing done, where another is bound by now.
  bool unbind(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) P11HA_EXCLUDES(mutex_);
  /// Whatever was known of that member is void: the handles there may be others now.
  void forget(unsigned member, std::uint32_t epoch) P11HA_EXCLUDES(mutex_);
  bool alive() const { return alive_.load(std::memory_order_acquire); }
  /// True for the one caller that ended it.
  bool end() P11HA_EXCLUDES(mutex_);

 private:
  static constexpr std::uint64_t kHolding = 0x7f;
  static constexpr std::uint64_t kGone = 0x80;
  struct Binding {
    std::atomic<std::uint64_t> state{0};  // epoch << 8 | kGone | Holding
    std::atomic<CK_OBJECT_HANDLE> handle{CK_INVALID_HANDLE};
  };
  void set(unsigned member, std::uint32_t epoch, CK_OBJECT_HANDLE handle, Holding holding) P11HA_REQUIRES(mutex_);

  const CK_OBJECT_HANDLE handle_;
  const CK_SESSION_HANDLE owner_;
  const bool mayBeKey_;
  const bool mayBeGenerated_;
  std::atomic<Shape> shape_{Shape::Unknown};
  std::atomic<bool> alive_{true};
  std::atomic<bool> doubtful_{false};
  std::atomic<bool> underWay_{false};
  std::atomic<MemberMask> usable_{0};
  std::atomic<MemberMask> known_{0};
  std::atomic<bool> wantsWitness_;
  std::atomic<bool> unsettled_;
  std::atomic<bool> told_{false};
  std::array<Binding, kMaxMembers> bindings_;
  mutable base::Mutex mutex_;
  Identity identity_ P11HA_GUARDED_BY(mutex_);
  std::optional<Witness> witness_ P11HA_GUARDED_BY(mutex_);
  std::optional<notes::Truth> truth_ P11HA_GUARDED_BY(mutex_);
};

using ObjectPtr = std::shared_ptr<Object>;

/// What a call makes is under way until this ends. Owned by the call.
class UnderWay {
 public:
  UnderWay() = default;
  ~UnderWay() {
    for (const ObjectPtr& object : objects_) object->setUnderWay(false);
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

  void add(const ObjectPtr& object) {
    objects_.push_back(object);
    object->setUnderWay(true);
  }

 private:
  std::vector<ObjectPtr> objects_;
};

}  // namespace p11ha::ha
