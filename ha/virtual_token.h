// A group as the application sees it: one slot with one token.
#pragma once

#include <memory>
#include <span>

#include "ha/key_generation.h"
#include "ha/key_truth.h"
#include "ha/login.h"
#include "ha/management.h"
#include "ha/operation_state.h"
#include "ha/searches.h"
#include "ha/status.h"

namespace p11ha::ha {

/// How the slot presents itself.
enum class Face : std::uint8_t {
  Group,   // "HA Virtual Card Slot": the group's label, serial and a model that tools know groups by
  Member,  // "Net Token Slot": the member's own (HAOnly = 0)
};

/// A member for the group, in the order of the configuration.
struct MemberSpec {
  std::shared_ptr<cryptoki::Member> token;
  bool standby = false;
};

/// What the token is given to live in: owned by whoever composes the process, outlives it.
struct Ports {
  const base::Clock& clock;
  base::Scheduler& scheduler;
  base::Workers& workers;
  halog::Sink& log;
  SessionTable& sessions;
  /// Told on the management thread, and from start(): some member serves (true), or none is left to (false).
  std::function<void(bool)> presence{};
  /// Told on the management thread, and from start(): status() may say something else. Called now and then for nothing.
  std::function<void()> changed{};
  /// What becomes of a member; the management thread asks it.
  Decide decide = &step;
  /// Run on a worker before each attempt to recover a member: the configuration may say something else by now.
  std::function<void()> beforeAttempt{};
};

/// Owned by the runtime from C_Initialize to C_Finalize. Any thread, except for construction, start() and stop().
class VirtualToken final : public SessionOwner {
 public:
  VirtualToken(CK_SLOT_ID slot, Face face, const GroupPolicy& policy, std::vector<MemberSpec> members,
               const Ports& ports);

  /// Attaches the members, narrows the mechanisms to what all of them offer, and lets Management begin. Blocks as the
  /// members do.
  void start();
  /// Closes the application's sessions and says goodbye in the log. No call may run any more.
  void stop();
  /// The same where a call has not come back: the members are left alone.
  void stopManaging() { management_.stop(); }

  CK_SLOT_ID slot() const { return slot_; }
  Face face() const { return face_; }

  /// A call of route Session; the caller holds the session. The handles in it may be a member's afterwards.
  CK_RV call(Session& session, cryptoki::Call& call) P11HA_REQUIRES(session.mutex) {
    return this->call(session, call, call.fn);
  }
  /// The same for whoever knows the function when compiling, so that it is decided then who answers.
  CK_RV call(Session& session, cryptoki::Call& call, cryptoki::Fn fn) P11HA_REQUIRES(session.mutex);
  /// A call of route Slot.
  CK_RV call(const cryptoki::Call& call);
  /// C_CloseSession: the last session's end is a logout (PKCS #11 v3.0, 5.6.4).
  CK_RV closeSession(CK_SESSION_HANDLE handle);

  void closing(Session& session) override;

  MemberState memberState(unsigned member) const { return management_.state(member); }
  /// What can be said of the group now. Makes no call on a member; takes as long as there are sessions.
  GroupStatus status() const P11HA_EXCLUDES(countsMutex_);
  void recoverNow(unsigned member) { management_.recoverNow(member); }

  /// The configuration says something else: taken over soon, on the management thread, in one swap.
  void reconfigure(GroupUpdate update) { management_.reconfigure(std::move(update)); }
  /// C_Finalize: no call waits for a member any more (RecoverWait).
  void endWaiting() { group_.endWaiting(); }

 private:
  CK_RV own(Session& session, cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  CK_RV wrap(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  CK_RV openSession(const cryptoki::Call& call);
  CK_RV sessionInfo(Session& session, CK_SESSION_INFO* info) const P11HA_REQUIRES(session.mutex);
  CK_RV slotInfo(CK_SLOT_INFO* info) const;
  CK_RV tokenInfo(CK_TOKEN_INFO* info);
  CK_RV mechanismList(CK_MECHANISM_TYPE* list, CK_ULONG* count) const;
  CK_RV mechanismInfo(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) const;
  CK_RV seedRandom(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

  const CK_SLOT_ID slot_;
  const Face face_;
  SessionTable& sessions_;
  Group group_;
  Catalog catalog_;
  DomainKeys domainKeys_;
  Cloner cloner_;
  Failover failover_;
  Operations operations_;
  OperationStates states_;
  KeyRecords records_;
  KeyTruth truth_;
  MissedChanges missed_;
  KeyManagement keys_;
  KeyGeneration generation_;
  Searches searches_;
  Resync resync_;
  Recovery recovery_;
  Retirement retirement_;
  Management management_;
  Login login_;
  // A session's counts move to the member's while nobody adds them up.
  mutable base::Mutex countsMutex_;
  // By member, the calls of sessions that are closed by now (Session::calls).
  std::array<std::uint64_t, kMaxMembers> closedCalls_ P11HA_GUARDED_BY(countsMutex_){};
  base::Mutex infoMutex_;
  CK_TOKEN_INFO lastInfo_ P11HA_GUARDED_BY(infoMutex_){};  // for when no member is left to ask
};

[[gnu::always_inline]] inline CK_RV VirtualToken::call(Session& session, cryptoki::Call& call, cryptoki::Fn fn) {
  using cryptoki::EffectKind;
  using cryptoki::Fn;
  using cryptoki::Op;
  using cryptoki::Replay;
  const cryptoki::Function& row = cryptoki::function(fn);
  switch (row.effect.kind) {
    case EffectKind::Begin:
      return row.effect.op == Op::Find ? searches_.begin(session, call) : operations_.begin(session, call, row);
    case EffectKind::Cancel:
      return operations_.cancel(session, call);
    case EffectKind::None:
    case EffectKind::Restore:
      break;
    case EffectKind::Whole:
      return operations_.whole(session, call, row);
    default:
      if (row.effect.op != Op::Find) return operations_.proceed(session, call);
      return row.effect.kind == EffectKind::Part ? searches_.next(session, call) : searches_.end(session);
  }
  switch (row.replay) {
    case Replay::Create:
      return cryptoki::isKeyGeneration(fn) ? generation_.generate(session, call) : keys_.create(session, call);
    case Replay::Idempotent:
      return fn == Fn::DestroyObject ? keys_.destroy(session, call) : keys_.change(session, call);
    case Replay::Own:
      return fn == Fn::GetSessionInfo ? sessionInfo(session, call.get<CK_SESSION_INFO*>(1)) : own(session, call);
    default:
      if (fn == Fn::GetAttributeValue) return truth_.read(session, call);
      return row.mechanismWord == 0 ? operations_.once(session, call, row) : wrap(session, call);
  }
}

inline CK_RV VirtualToken::sessionInfo(Session& session, CK_SESSION_INFO* info) const {
  if (info == nullptr) return CKR_ARGUMENTS_BAD;
  const CK_USER_TYPE user = group_.login.user();
  info->slotID = slot_;
  info->flags = session.flags.load(std::memory_order_relaxed);
  info->ulDeviceError = 0;
  if (session.readWrite()) {
    info->state = user == CKU_SO     ? CKS_RW_SO_FUNCTIONS
                  : user == CKU_USER ? CKS_RW_USER_FUNCTIONS
                                     : CKS_RW_PUBLIC_SESSION;
  } else {
    info->state = user == CKU_USER ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
  }
  return CKR_OK;
}

}  // namespace p11ha::ha
