// Calls that begin, feed or end an operation, and those that use objects without changing any.
#pragma once

#include <array>

#include "ha/failover.h"
#include "ha/operation_effect.h"

namespace p11ha::ha {

/// The objects that a call names, from its handles; they stay in the session (Session::recent).
class NamedObjects {
 public:
  NamedObjects(Group& group, Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex)
      : NamedObjects(group, session, call, cryptoki::function(call.fn)) {}
  /// The same for whoever has the function's row.
  NamedObjects(Group& group, Session& session, const cryptoki::Call& call, const cryptoki::Function& row)
      P11HA_REQUIRES(session.mutex) {
    for (std::size_t i = 0; i < row.objectCount; ++i) {
      const auto handle = call.get<CK_OBJECT_HANDLE>(row.objectWords[i]);
      ObjectPtr& recent = session.recent[i];
      if (recent == nullptr || recent->handle() != handle || !recent->alive()) lookUp(group, handle, recent);
    }
    set(session, row);
  }
  /// Those that were named last: of a call whose handles may be a member's by now.
  NamedObjects(Session& session, const cryptoki::Function& row) P11HA_REQUIRES(session.mutex) { set(session, row); }

  std::span<const NamedObject> all() const { return {objects_.data(), count_}; }
  /// Only if the call names one.
  const ObjectPtr& first() const { return *objects_[0].object; }

 private:
  void set(Session& session, const cryptoki::Function& row) P11HA_REQUIRES(session.mutex) {
    for (std::size_t i = 0; i < row.objectCount; ++i) objects_[i] = {row.objectWords[i], &session.recent[i]};
    count_ = row.objectCount;
  }
  static void lookUp(Group& group, CK_OBJECT_HANDLE handle, ObjectPtr& recent);

  std::array<NamedObject, 2> objects_;
  std::size_t count_;
};

/// Copies the call's mechanism, if it has one, and lets `naming` point to the copy if its parameter names objects.
/// CKR_MECHANISM_PARAM_INVALID: the parameter is not understood, so that handles in it could go to the wrong key.
CK_RV noteMechanism(const cryptoki::Call& call, cryptoki::OwnedMechanism& copy,
                    const cryptoki::OwnedMechanism*& naming);

/// Owned by the VirtualToken. Any thread that holds the session.
class Operations {
 public:
  Operations(Group& group, Failover& failover) : group_(group), failover_(failover) {}

  /// C_...Init. Noted, so that it can be run again on another member. `row` is the function's.
  CK_RV begin(Session& session, cryptoki::Call& call, const cryptoki::Function& row) P11HA_REQUIRES(session.mutex) {
    const NamedObjects named(group_, session, call, row);
    const std::span<const NamedObject> objects = named.all();
    Operation& operation = session.operation(row.effect.op);
    auto* const mechanism = call.get<CK_MECHANISM*>(row.mechanismWord);
    const bool alone = operation.standing == Standing::Idle && session.anyActive() == nullptr;
    if (mechanism == nullptr || !alone) return beginBeside(session, call, mechanism);
    // The member gets our copy, so that what it writes to it is noticed: such an operation cannot move.
    if (const CK_RV rv = operation.mechanism.assign(*mechanism); rv != CKR_OK) return rv;
    call.set(row.mechanismWord, operation.mechanism.get());
    if (operation.mechanism.namesHandles()) return beginBeside(session, call, mechanism);
    const Try first = failover_.straight(session, call, objects);
    if (!first.succeeded()) return beginBeside(session, call, mechanism, first.copy());
    operation.mechanism.writeBack(*mechanism);
    noteBegun(session, call.fn, row.effect.op, objects, *first.member, first.epoch);
    return CKR_OK;
  }
  /// C_Sign and its kin. `row` is the function's.
  CK_RV whole(Session& session, cryptoki::Call& call, const cryptoki::Function& row) P11HA_REQUIRES(session.mutex) {
    Operation& operation = session.operation(row.effect.op);
    if (!operation.active() || overlaps(row, call)) [[unlikely]]
      return proceed(session, call);
    const CK_ULONG* const length = outputLength(row, call);
    const std::optional<CK_ULONG> room = length == nullptr ? std::nullopt : std::optional(*length);
    const Try first = failover_.straight(session, call, {}, Failover::kAnywhere, &operation);
    if (!first.succeeded()) [[unlikely]]
      return proceed(session, call, first.copy(room));
    if (!lengthOnly(row, call, CKR_OK)) {
      operation.end();
      session.noteEnded(row.effect.op);
    }
    return CKR_OK;
  }
  /// C_...Update, C_...Final, dual and message functions; what a `first` try of C_Sign and its kin has left to do.
  CK_RV proceed(Session& session, const cryptoki::Call& call, const Try& first = {}) P11HA_REQUIRES(session.mutex);
  /// C_SessionCancel (PKCS #11 v3.0, 5.6.10).
  CK_RV cancel(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// C_Login(CKU_CONTEXT_SPECIFIC), or C_LoginUser likewise: for the operation that was begun last, on its member; kept
  /// to be given again after its Init.
  CK_RV authenticate(Session& session, cryptoki::Call& call) P11HA_REQUIRES(session.mutex);
  /// A call that stands alone: attributes, random. Whatever the session has active elsewhere is no matter. `row` is the
  /// function's.
  CK_RV once(Session& session, cryptoki::Call& call, const cryptoki::Function& row) P11HA_REQUIRES(session.mutex) {
    const NamedObjects named(group_, session, call, row);
    // What is filled in may have to be asked for again, with as much room as at first: that is to be noted.
    if (row.find(cryptoki::RoleKind::OutTemplate) != nullptr) return onceMore(session, call, {});
    const Try first = failover_.straight(session, call, named.all());
    return first.succeeded() ? CKR_OK : onceMore(session, call, first.copy());
  }
  /// Likewise, with a mechanism.
  CK_RV wrap(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

 private:
  [[gnu::cold]] CK_RV beginBeside(Session& session, const cryptoki::Call& call, CK_MECHANISM* mechanism,
                                  const Try& first = {}) P11HA_REQUIRES(session.mutex);
  static void noteBegun(Session& session, cryptoki::Fn fn, cryptoki::Op op, std::span<const NamedObject> objects,
                        const GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(session.mutex) {
    Operation& operation = session.operation(op);
    operation.standing = Standing::Active;
    operation.init = fn;
    operation.member = static_cast<std::uint8_t>(member.index);
    operation.epoch = epoch;
    if (!objects.empty() && operation.key != *objects[0].object) operation.key = *objects[0].object;
    session.latest = op;
    session.noteBegun(op);
  }
  [[gnu::cold]] CK_RV onceMore(Session& session, const cryptoki::Call& call, const Try& first)
      P11HA_REQUIRES(session.mutex);
  [[gnu::cold]] CK_RV proceedApart(Session& session, cryptoki::Call call) P11HA_REQUIRES(session.mutex);
  void take(Session& session, const cryptoki::Call& call, const NamedObjects& named, cryptoki::Op op)
      P11HA_REQUIRES(session.mutex);

  Group& group_;
  Failover& failover_;
};

}  // namespace p11ha::ha
