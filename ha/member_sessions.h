// Sessions on one member: those lent to virtual sessions, those to be closed, and the one p11ha keeps for itself.
#pragma once

#include <optional>
#include <vector>

#include "base/mutex.h"
#include "cryptoki/member.h"

namespace p11ha::ha {

/// A session of a member, as a virtual session holds it.
struct MemberSession {
  CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
  std::uint32_t epoch = 0;  // the member's when it was opened; 0: there is none
  CK_FLAGS flags = 0;
  bool hasObjects = false;  // session objects of the application were made in it and end with it
};

/// Clean sessions to be used again, and sessions of a lost member that are still to be closed. Any thread; the lock is
/// never held across a call.
class MemberSessions {
 public:
  /// A pooled session of that epoch and kind (CKF_RW_SESSION or not).
  std::optional<MemberSession> borrow(std::uint32_t epoch, CK_FLAGS flags) P11HA_EXCLUDES(mutex_);
  /// Takes a session back for others; false (and not taken) when there are enough.
  bool giveBack(const MemberSession& session) P11HA_EXCLUDES(mutex_);
  /// Notes a session of a lost member: it is never used again, and closed when the member can be talked to.
  void discard(const MemberSession& session) P11HA_EXCLUDES(mutex_);
  /// What is pooled or discarded, to be closed by the caller.
  std::vector<MemberSession> takeAll() P11HA_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kPoolSize = 64;

  base::Mutex mutex_;
  std::vector<MemberSession> pool_ P11HA_GUARDED_BY(mutex_);
  std::vector<MemberSession> discarded_ P11HA_GUARDED_BY(mutex_);
};

/// An AES key that several members hold as a session object. Equal generations are the same key. It ends with the login
/// under which it was made (LoginState::generation).
struct TransferKey {
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  std::uint64_t generation = 0;
  std::uint64_t login = 0;
};

/// p11ha's own read-write session on a member: keeps the login alive, and serves inventory, cloning and proofs. A user
/// of it holds it (Use) for as long as its calls last, so that it is never two threads' at once.
class ControlSession {
 public:
  class P11HA_SCOPED_CAPABILITY Use {
   public:
    explicit Use(ControlSession& control) P11HA_ACQUIRE(control.mutex_) : control_(control) { control_.mutex_.lock(); }
    ~Use() P11HA_RELEASE() { control_.mutex_.unlock(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    /// CKR_OK with a session of that epoch, opened if need be; else why the member gives none.
    cryptoki::Outcome open(cryptoki::Member& token, std::uint32_t epoch);
    CK_SESSION_HANDLE handle() const { return control_.session_.handle; }
    /// The key under which Cloner carries keys between members; void with the session.
    TransferKey& transferKey() { return control_.transferKey_; }
    /// Closes it, whatever the member says to that.
    void close(cryptoki::Member& token);
    /// Gives the session up without a word to the member.
    void forget();

   private:
    ControlSession& control_;
  };

 private:
  base::Mutex mutex_;
  // Both guarded by mutex_, which only a Use can hold.
  MemberSession session_;
  TransferKey transferKey_;
};

/// Opens a session on the member. CKF_SERIAL_SESSION is added.
cryptoki::Outcome openSession(cryptoki::Member& token, CK_FLAGS flags, CK_SESSION_HANDLE& handle);

}  // namespace p11ha::ha
