#include "ha/operation.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::RoleKind;

namespace {

std::span<const std::uint8_t> bytesAt(const Call& call, RoleKind role) {
  const cryptoki::Argument* argument = cryptoki::function(call.fn).find(role);
  const auto* data = argument == nullptr ? nullptr : call.get<const std::uint8_t*>(argument->word);
  return {data, data == nullptr ? 0 : call.get<CK_ULONG>(argument->word + 1U)};
}

}  // namespace

ContextLogin::ContextLogin(const Call& call)
    : fn(call.fn), pin(bytesAt(call, RoleKind::Pin)), pinGiven(bytesAt(call, RoleKind::Pin).data() != nullptr) {
  const auto name = bytesAt(call, RoleKind::UserName);
  userName.assign(name.begin(), name.end());
}

Call ContextLogin::call() const {
  Call again{fn, {}};
  const auto* const row = &cryptoki::function(fn);
  again.set(row->find(RoleKind::UserType)->word, CK_USER_TYPE{CKU_CONTEXT_SPECIFIC});
  if (pinGiven) {
    again.set(row->find(RoleKind::Pin)->word, pin.bytes().data());
    again.set(row->find(RoleKind::Pin)->word + 1U, pin.bytes().size());
  }
  if (const cryptoki::Argument* name = row->find(RoleKind::UserName); name != nullptr && !userName.empty()) {
    again.set(name->word, userName.data());
    again.set(name->word + 1U, userName.size());
  }
  return again;
}

}  // namespace p11ha::ha
