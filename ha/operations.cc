#include "ha/operations.h"

#include "ha/mechanism_handles.h"

namespace p11ha::ha {

using cryptoki::Argument;
using cryptoki::Call;
using cryptoki::EffectKind;
using cryptoki::Fn;
using cryptoki::Function;
using cryptoki::Op;
using cryptoki::RoleKind;

void NamedObjects::lookUp(Group& group, CK_OBJECT_HANDLE handle, ObjectPtr& recent) {
  recent = group.objects.find(handle);
}

CK_RV noteMechanism(const Call& call, cryptoki::OwnedMechanism& copy, const cryptoki::OwnedMechanism*& naming) {
  const std::uint8_t word = cryptoki::function(call.fn).mechanismWord;
  const auto* mechanism = word == 0 ? nullptr : call.get<const CK_MECHANISM*>(word);
  if (mechanism == nullptr) return CKR_OK;
  if (const CK_RV rv = copy.assign(*mechanism); rv != CKR_OK) return rv;
  if (copy.namesHandles()) naming = &copy;
  return CKR_OK;
}

// Whatever else is begun in the session, and whatever became of a `first` try.
CK_RV Operations::beginBeside(Session& session, const Call& call, CK_MECHANISM* mechanism, const Try& first) {
  const Function& row = cryptoki::function(call.fn);
  Operation& operation = session.operation(row.effect.op);
  const NamedObjects named(session, row);
  Request request{call, named.all()};
  // A session's operations are together on one member, which then answers to what does not go together.
  if (operation.active()) {
    request.operations[0] = &operation;
  } else if (operation.standing == Standing::Doubtful) {
    request.follow(operation);
  } else if (const Operation* active = session.anyActive()) {
    request.follow(*active);
  }
  if (mechanism == nullptr) {
    // v3.0: ends the operation; before, an error. The member knows which.
    const CK_RV rv = failover_.run(session, request);
    if (rv == CKR_OK) operation.end();
    return rv;
  }
  // While the operation is active, what began it is still needed.
  std::optional<cryptoki::OwnedMechanism> aside;
  if (operation.active()) aside.emplace();
  cryptoki::OwnedMechanism& noted = aside ? *aside : operation.mechanism;
  if (const CK_RV rv = noted.assign(*mechanism); rv != CKR_OK) return rv;
  request.call.set(row.mechanismWord, noted.get());
  if (noted.namesHandles()) request.mechanism = &noted;
  CK_RV rv = failover_.run(session, request, first);
  if (rv == CKR_OPERATION_ACTIVE && request.answeredBy != Request::kAnyMember && !session.anyOn(request.answeredBy)) {
    // Not the application's: something was left in the session there.
    failover_.abandonSession(session, group_.member(request.answeredBy));
    rv = failover_.run(session, request);
  }
  if (rv != CKR_OK) return rv;
  noted.writeBack(*mechanism);
  if (aside) operation.mechanism = std::move(*aside);
  operation.end();
  noteBegun(session, call.fn, row.effect.op, named.all(), group_.member(request.answeredBy), request.answeredUnder);
  return CKR_OK;
}

namespace {

// A dual-function call is a part of two operations.
struct Continued {
  Operation* operation = nullptr;
  Op op = Op::None;
};

std::array<Continued, 2> continued(Session& session, const Function& row) P11HA_REQUIRES(session.mutex) {
  std::array<Continued, 2> both{{{&session.operation(row.effect.op), row.effect.op}, {}}};
  if (row.effect.kind == EffectKind::Dual) both[1] = {&session.operation(row.effect.second), row.effect.second};
  return both;
}

bool hasOutput(Op op) { return op == Op::Encrypt || op == Op::Decrypt; }

// The function that feeds an operation alone.
Fn updateOf(Op op) {
  for (std::size_t i = 0;; ++i) {
    const auto fn = static_cast<Fn>(i);
    const Function& row = cryptoki::function(fn);
    if (row.effect.kind == EffectKind::Part && row.effect.op == op && row.find(RoleKind::InBytes) != nullptr) return fn;
  }
}

}  // namespace

// With the input where no output will be.
CK_RV Operations::proceedApart(Session& session, Call call) {
  std::vector<base::SecureBytes> copies;
  for (const Argument& argument : cryptoki::function(call.fn).args()) {
    if (argument.role != RoleKind::InBytes || call.get<void*>(argument.word) == nullptr) continue;
    const auto* const input = call.get<const std::uint8_t*>(argument.word);
    base::SecureBytes& copy = copies.emplace_back(input, input + call.get<CK_ULONG>(argument.word + 1UL));
    if (copy.empty()) copy.reserve(1);
    call.set(argument.word, copy.data());
  }
  return proceed(session, call);
}

CK_RV Operations::proceed(Session& session, const Call& call, const Try& first) {
  const Function& row = cryptoki::function(call.fn);
  if (!first.made() && overlaps(row, call)) return proceedApart(session, call);
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  const auto both = continued(session, row);
  std::size_t active = 0;
  for (const Continued& each : both) {
    if (each.operation == nullptr) break;
    if (each.operation->active()) {
      request.operations[active++] = each.operation;
      if (row.effect.kind != EffectKind::Whole && hasOutput(each.op)) request.output = each.operation;
    } else if (each.operation->standing == Standing::Doubtful) {
      request.follow(*each.operation);
    }
  }
  if (active == 0) {
    if (const Operation* other = session.anyActive()) request.follow(*other);
  } else if (const Argument* parameter = row.find(RoleKind::MessageParameter)) {
    cryptoki::OwnedMechanism copy;
    const CK_RV rv = copy.assignMessage(both[0].operation->mechanism.type(), call.get<void*>(parameter->word),
                                        call.get<CK_ULONG>(parameter->word + 1U));
    if (rv != CKR_OK) return rv;
    // Another member could use a nonce again.
    if (copy.pinned()) both[0].operation->pinned = true;
  }
  const CK_RV rv = failover_.run(session, request, first);
  const Consequence what = consequence(call, rv);
  for (const Continued& each : both) {
    if (each.operation == nullptr) break;
    switch (what) {
      case Consequence::None:
        break;
      case Consequence::Taken:
        take(session, call, named, each.op);
        break;
      case Consequence::MessageOver:
        if (each.operation->progress != nullptr) each.operation->endParts();
        break;
      case Consequence::Over:
        each.operation->end();
        break;
      case Consequence::Doubtful:
        if (each.operation->active()) each.operation->standing = Standing::Doubtful;
        break;
    }
  }
  return rv;
}

// Keeps what an operation was given for the member that may have to take it over.
void Operations::take(Session& session, const Call& call, const NamedObjects& named, Op op) {
  Operation& operation = session.operation(op);
  if (!operation.active() || !operation.restorable()) return;
  const Function& row = cryptoki::function(call.fn);
  Journal& journal = operation.parts().journal;
  const std::size_t limit = group_.policy().multipartJournal;
  if (row.effect.kind != EffectKind::Dual) {
    return journal.append(call, operation.mechanism.type(), named.all().empty() ? nullptr : named.first(), limit);
  }
  // Of decryption and digest or verification, the second is given what the first gives.
  const bool fromOutput = row.effect.op == Op::Decrypt && op != Op::Decrypt;
  const Argument& argument = *row.find(fromOutput ? RoleKind::OutBytes : RoleKind::InBytes);
  const auto* bytes = call.get<const std::uint8_t*>(argument.word);
  const CK_ULONG length =
      fromOutput ? *call.get<const CK_ULONG*>(argument.word + 1U) : call.get<CK_ULONG>(argument.word + 1U);
  journal.append(updateOf(op), {bytes, length}, limit);
}

CK_RV Operations::cancel(Session& session, const Call& call) {
  Request request{call, {}};
  if (const Operation* active = session.anyActive()) request.follow(*active);
  const CK_RV rv = failover_.run(session, request);
  if (rv != CKR_OK) return rv;
  static constexpr std::pair<CK_FLAGS, Op> kFlags[] = {
      {CKF_FIND_OBJECTS, Op::Find},
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
  return CKR_OK;
}

CK_RV Operations::authenticate(Session& session, Call& call) {
  Operation& operation = session.operation(session.latest);
  if (!operation.active()) return once(session, call, cryptoki::function(call.fn));
  Request request{call, {}};
  request.operations[0] = &operation;
  request.replay = cryptoki::Replay::Context;
  const CK_RV rv = failover_.run(session, request);
  if (rv == CKR_OK && operation.active()) operation.authentication = std::make_unique<ContextLogin>(call);
  return rv;
}

CK_RV Operations::onceMore(Session& session, const Call& call, const Try& first) {
  const NamedObjects named(session, cryptoki::function(call.fn));
  Request request{call, named.all()};
  return failover_.run(session, request, first);
}

CK_RV Operations::wrap(Session& session, const Call& call) {
  const NamedObjects named(group_, session, call);
  Request request{call, named.all()};
  cryptoki::OwnedMechanism mechanism;
  if (const CK_RV rv = noteMechanism(call, mechanism, request.mechanism); rv != CKR_OK) return rv;
  return failover_.run(session, request);
}

}  // namespace p11ha::ha
