#include "ha/operations.h"

#include "ha/mechanism_handles.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::EffectKind;
using cryptoki::Function;
using cryptoki::Op;
using cryptoki::RoleKind;

ObjectPtr findObject(Group& group, Session& session, CK_OBJECT_HANDLE handle) {
  if (session.lastObject != nullptr && session.lastObject->handle() == handle && session.lastObject->alive()) {
    return session.lastObject;
  }
  ObjectPtr object = group.objects.find(handle);
  if (object != nullptr) session.lastObject = object;
  return object;
}

NamedObjects::NamedObjects(Group& group, Session& session, const Call& call) {
  for (const cryptoki::Argument& argument : cryptoki::function(call.fn).args()) {
    if (cryptoki::isObjectHandle(argument.role)) {
      objects_[count_++] = {argument.word, findObject(group, session, call.get<CK_OBJECT_HANDLE>(argument.word))};
    }
  }
}

CK_RV noteMechanism(const Call& call, cryptoki::OwnedMechanism& copy, const cryptoki::OwnedMechanism*& naming) {
  const cryptoki::Argument* argument = cryptoki::function(call.fn).find(RoleKind::Mechanism);
  const auto* mechanism = argument == nullptr ? nullptr : call.get<const CK_MECHANISM*>(argument->word);
  if (mechanism == nullptr) return CKR_OK;
  if (const CK_RV rv = copy.assign(*mechanism); rv != CKR_OK) return rv;
  if (namesObjects(copy)) naming = &copy;
  return CKR_OK;
}

namespace {

// Did the member keep the operation because it only told a length (PKCS #11 v3.0, 5.2)?
bool toldLengthOnly(const Function& row, const Call& call, CK_RV rv) {
  const cryptoki::Argument* output = row.find(RoleKind::OutBytes);
  if (output == nullptr) return false;
  return rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && call.get<CK_BYTE_PTR>(output->word) == nullptr);
}

}  // namespace

CK_RV Operations::begin(Session& session, const Call& call) {
  const Function& row = cryptoki::function(call.fn);
  Operation& operation = session.operation(row.effect.op);
  auto* const mechanism = call.get<CK_MECHANISM*>(1);
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  // A session's operations are together on one member, which then answers to what does not go together.
  if (const Operation* active = session.anyActive()) request.preferred = active->member;
  if (mechanism == nullptr) {
    // v3.0: ends the operation; before, an error. The member knows which.
    const CK_RV rv = failover_.run(session, request);
    if (rv == CKR_OK) operation.end();
    return rv;
  }
  cryptoki::OwnedMechanism aside;
  cryptoki::OwnedMechanism& noted = operation.active ? aside : operation.mechanism;
  if (const CK_RV rv = noted.assign(*mechanism); rv != CKR_OK) return rv;
  // The member gets our copy, so that what it writes to it is noticed: such an operation cannot move.
  request.call.set(1, noted.get());
  if (namesObjects(noted)) request.mechanism = &noted;
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK) return rv;
  noted.writeBack(*mechanism);
  if (operation.active) operation.mechanism = std::move(aside);
  operation.active = true;
  operation.fed = false;
  operation.init = call.fn;
  operation.member = static_cast<std::uint8_t>(request.answeredBy);
  operation.epoch = request.answeredUnder;
  operation.key = named.all().empty() ? nullptr : named.first();
  return CKR_OK;
}

CK_RV Operations::proceed(Session& session, const Call& call) {
  const Function& row = cryptoki::function(call.fn);
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  Operation& operation = session.operation(row.effect.op);
  if (operation.active) {
    request.operation = &operation;
  } else if (const Operation* other = session.anyActive()) {
    request.preferred = other->member;
  }
  const CK_RV rv = failover_.run(session, request);
  if (rv == CKR_OPERATION_NOT_INITIALIZED) operation.end();
  switch (row.effect.kind) {
    case EffectKind::Whole:
    case EffectKind::Final:
      // Whether the member ended it after bad arguments, it will say at the next Init.
      if (!toldLengthOnly(row, call, rv) && rv != CKR_ARGUMENTS_BAD) operation.end();
      break;
    case EffectKind::Part:
    case EffectKind::Message:
    case EffectKind::Dual:
      if (!toldLengthOnly(row, call, rv)) {
        operation.fed = operation.active;
        if (row.effect.kind == EffectKind::Dual) {
          Operation& second = session.operation(row.effect.second);
          second.fed = second.active;
        }
      }
      break;
    default:
      break;
  }
  return rv;
}

CK_RV Operations::cancel(Session& session, const Call& call) {
  Request request{call, {}};
  if (const Operation* active = session.anyActive()) request.preferred = active->member;
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK) return rv;
  static constexpr std::pair<CK_FLAGS, Op> kFlags[] = {
      {CKF_ENCRYPT, Op::Encrypt},
      {CKF_DECRYPT, Op::Decrypt},
      {CKF_DIGEST, Op::Digest},
      {CKF_SIGN, Op::Sign},
      {CKF_SIGN_RECOVER, Op::SignRecover},
      {CKF_VERIFY, Op::Verify},
      {CKF_VERIFY_RECOVER, Op::VerifyRecover},
      {CKF_MESSAGE_ENCRYPT, Op::MessageEncrypt},
      {CKF_MESSAGE_DECRYPT, Op::MessageDecrypt},
      {CKF_MESSAGE_SIGN, Op::MessageSign},
      {CKF_MESSAGE_VERIFY, Op::MessageVerify},
  };
  const auto flags = call.get<CK_FLAGS>(1);
  for (const auto& [flag, op] : kFlags) {
    if ((flags & flag) != 0) session.operation(op).end();
  }
  if ((flags & CKF_FIND_OBJECTS) != 0) session.search = {};
  return CKR_OK;
}

CK_RV Operations::authenticate(Session& session, const Call& call) {
  Operation* const active = session.anyActive();
  if (active == nullptr) return once(session, call);
  GroupMember& member = group_.member(active->member);
  const std::uint32_t epoch = member.epoch.load(std::memory_order_acquire);
  const cryptoki::Outcome outcome = epoch == active->epoch && !member.isSuspect()
                                        ? failover_.callOn(member, epoch, session, call)
                                        : cryptoki::Outcome{CKR_DEVICE_ERROR};
  if (!isLoss(outcome)) return outcome.rv;
  // The operation is gone with its member, and the PIN is for nobody else.
  active->end();
  return CKR_DEVICE_ERROR;
}

CK_RV Operations::once(Session& session, const Call& call) {
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  if (const Operation* active = session.anyActive()) request.preferred = active->member;
  cryptoki::OwnedMechanism mechanism;
  if (const CK_RV rv = noteMechanism(call, mechanism, request.mechanism); rv != CKR_OK) return rv;
  return failover_.run(session, request);
}

}  // namespace p11ha::ha
