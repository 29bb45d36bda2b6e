#include "transport/client/remote_session.h"

#include <algorithm>
#include <new>
#include <utility>

namespace p11ha::transport {

using cryptoki::Call;
using cryptoki::EffectKind;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::Function;
using cryptoki::makeCall;
using cryptoki::Op;
using cryptoki::Outcome;

namespace {

constexpr std::uint32_t bitOf(Op op) { return op == Op::None ? 0 : std::uint32_t{1} << static_cast<unsigned>(op); }

constexpr bool mayBeHeld(Op op) {
  switch (op) {
    case Op::Encrypt:
    case Op::Decrypt:
    case Op::Digest:
    case Op::Sign:
    case Op::SignRecover:
    case Op::Verify:
    case Op::VerifyRecover:
      return true;
    default:
      return false;
  }
}

// What ends something does so though an Init before it has failed.
constexpr bool isMadeAnyway(Fn fn) { return fn == Fn::Logout || fn == Fn::CloseSession; }

// Before what makes two Inits the same: the opcode and the session.
constexpr std::size_t kOwnPart = sizeof(std::uint16_t) + sizeof(std::uint64_t);

bool isSizeQuery(const Call& call, const Function& row) {
  return row.outputWord != 0 && call.words[row.outputWord] == 0;
}

}  // namespace

std::span<const std::uint8_t> RemoteSession::init() const { return request_.bytes().subspan(kOwnPart); }

Outcome RemoteSession::execute(const Call& call, base::Monotonic deadline) {
  const Function& row = cryptoki::function(call.fn);
  const Op op = row.effect.op;
  if (!held_) {
    if (row.effect.kind == EffectKind::Begin && mayBeHeld(op) && call.words[row.mechanismWord] != 0)
      return begin(call, row, deadline);
  } else if (op != heldOp_) {
    if (const Outcome flushed = flush(deadline); flushed.rv != CKR_OK && !isMadeAnyway(call.fn)) return flushed;
  }
  const HeldInit init{request_.bytes(), &outputs_};
  const LinkAnswer answer = link_.call(call, held_ ? &init : nullptr, deadline);
  if (answer.outcome.fate != Fate::Answered) {
    held_ = false;
    return answer.outcome;
  }
  if (std::exchange(held_, false)) released(answer.initRv);
  if (answer.initRv == CKR_OK) follow(call, row, answer.outcome.rv);
  return answer.outcome;
}

Outcome RemoteSession::begin(const Call& call, const Function& row, base::Monotonic deadline) {
  request_.clear();
  if (const CK_RV rv = encodeRequest(call, link_.limits(), request_, outputs_); rv != CKR_OK) return {rv};
  const std::uint64_t epoch = attachment_->epoch();
  const bool idle = open_ == 0 && !doubt_ && (unclear_ & bitOf(row.effect.op)) == 0;
  if (idle) {
    const auto key = init();
    const bool again =
        heldFn_ == call.fn && lastEpoch_ == epoch && std::equal(key.begin(), key.end(), last_.begin(), last_.end());
    if ((again || attachment_->inits().find(call.fn, key, epoch) == KnownInits::Standing::Good) &&
        hold(call, row, epoch)) {
      return {};
    }
  }
  const Outcome outcome = link_.call(call.fn, request_.bytes(), outputs_, deadline).outcome;
  if (outcome.fate != Fate::Answered) return outcome;
  follow(call, row, outcome.rv);
  if (outcome.rv != CKR_OK) return outcome;
  try {
    learn(call, row, epoch, deadline);
  } catch (const std::bad_alloc&) {
    // It is sent by itself again, then.
  }
  return outcome;
}

// False: not without the application's own mechanism, which may be gone by the time that its outputs come.
bool RemoteSession::hold(const Call& call, const Function& row, std::uint64_t epoch) {
  if (outputs_.size() != 0) {
    if (mechanism_.assign(*call.get<const CK_MECHANISM*>(row.mechanismWord)) != CKR_OK) return false;
    Call own = call;
    own.set(row.mechanismWord, mechanism_.get());
    Buffer request;
    Outputs outputs;
    if (encodeRequest(own, link_.limits(), request, outputs) != CKR_OK) return false;
    std::swap(request_, request);
    std::swap(outputs_, outputs);
  }
  const auto key = init();
  last_.assign(key.begin(), key.end());
  lastEpoch_ = epoch;
  heldFn_ = call.fn;
  heldOp_ = row.effect.op;
  held_ = true;
  return true;
}

Outcome RemoteSession::flush(base::Monotonic deadline) {
  const Outcome outcome = link_.call(heldFn_, request_.bytes(), outputs_, deadline).outcome;
  held_ = false;
  if (outcome.fate == Fate::Answered) released(outcome.rv);
  return outcome;
}

void RemoteSession::released(CK_RV initRv) {
  if (initRv == CKR_OK) {
    open_ |= bitOf(heldOp_);
    return;
  }
  attachment_->inits().forget(heldFn_, init());
  lastEpoch_ = kNoEpoch;
  doubt_ = doubt_ || initRv == CKR_OPERATION_ACTIVE;
}

// The member has taken it. Once it is known to be fit, it is held back from then on.
void RemoteSession::learn(const Call& call, const Function& row, std::uint64_t epoch, base::Monotonic deadline) {
  using Standing = KnownInits::Standing;
  if (init().size() > KnownInits::kLongest) return;
  KnownInits& inits = attachment_->inits();
  if (outputs_.size() != 0) {
    Buffer after;
    Outputs outputs;
    const CK_RV rv = encodeRequest(call, link_.limits(), after, outputs);
    if (rv != CKR_OK ||
        !std::equal(after.bytes().begin(), after.bytes().end(), request_.bytes().begin(), request_.bytes().end())) {
      // The member writes to its parameter: the application wants to see that at once.
      return inits.note(call.fn, init(), epoch, Standing::Never);
    }
  }
  const Standing before = inits.find(call.fn, init(), epoch);
  if (before == Standing::Never || before == Standing::Good) return;
  if (row.objectCount == 0) return inits.note(call.fn, init(), epoch, Standing::Good);
  if (before == Standing::Unknown) return inits.note(call.fn, init(), epoch, Standing::Once);
  bool told = false;
  const bool forEachUse = keyIsForEachUse(call.words[row.objectWords[0]], deadline, told);
  if (told) inits.note(call.fn, init(), epoch, forEachUse ? Standing::Never : Standing::Good);
}

bool RemoteSession::keyIsForEachUse(CK_OBJECT_HANDLE key, base::Monotonic deadline, bool& told) {
  CK_BBOOL value = CK_FALSE;
  CK_ATTRIBUTE wanted{CKA_ALWAYS_AUTHENTICATE, &value, sizeof value};
  const auto asked = makeCall<Fn::GetAttributeValue>(handle_, key, &wanted, CK_ULONG{1});
  const Outcome outcome = link_.call(asked, nullptr, deadline).outcome;
  // Public keys have no such attribute.
  told = outcome.fate == Fate::Answered && (outcome.rv == CKR_OK || outcome.rv == CKR_ATTRIBUTE_TYPE_INVALID);
  return outcome.rv == CKR_OK && value != CK_FALSE;
}

void RemoteSession::follow(const Call& call, const Function& row, CK_RV rv) {
  const Ops ops = bitOf(row.effect.op) | bitOf(row.effect.second);
  switch (row.effect.kind) {
    case EffectKind::None:
      return;
    case EffectKind::Begin:
      if (row.mechanismWord != 0 && call.words[row.mechanismWord] == 0) return unclear(ops);
      if (rv == CKR_OK) {
        open_ |= ops;
        unclear_ &= ~ops;
        doubt_ = false;
      } else if (rv == CKR_OPERATION_ACTIVE) {
        doubt_ = true;
      }
      return;
    case EffectKind::Whole:
    case EffectKind::Final:
      if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && isSizeQuery(call, row))) return;
      return rv == CKR_OK ? over(ops) : unclear(ops);
    case EffectKind::Part:
    case EffectKind::Message:
    case EffectKind::Dual:
      if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL) unclear(ops);
      return;
    case EffectKind::Cancel:
    case EffectKind::Restore:
      return unclear(~Ops{0});
  }
}

void RemoteSession::over(Ops ops) {
  open_ &= ~ops;
  unclear_ &= ~ops;
}

void RemoteSession::unclear(Ops ops) {
  open_ &= ~ops;
  unclear_ |= ops;
  doubt_ = true;
}

}  // namespace p11ha::transport
