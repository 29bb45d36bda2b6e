#include "ha/watched_token.h"

#include <new>

namespace p11ha::ha {
namespace {

// At the token's own PIN pad (CKF_PROTECTED_AUTHENTICATION_PATH).
bool waitsForAPerson(const cryptoki::Call& call) {
  const cryptoki::Argument* const pin = cryptoki::function(call.fn).find(cryptoki::RoleKind::Pin);
  return pin != nullptr && call.get<const void*>(pin->word) == nullptr;
}

}  // namespace

cryptoki::Outcome WatchedToken::execute(const cryptoki::Call& call) {
  if (waitsForAPerson(call)) return token_->execute(call);
  std::list<Running> own;
  try {
    own.push_back({call.fn, epoch_.load(std::memory_order_acquire)});
  } catch (const std::bad_alloc&) {
    return {CKR_HOST_MEMORY, cryptoki::Fate::Answered};
  }
  const Noted noted(*this, own);
  return token_->execute(call);
}

WatchedToken::Noted::Noted(WatchedToken& token, std::list<Running>& own)
    : token_(token), own_(own), place_(own.begin()) {
  base::Lock lock(token_.mutex_);
  token_.running_.splice(token_.running_.end(), own_);
}

WatchedToken::Noted::~Noted() {
  base::Lock lock(token_.mutex_);
  own_.splice(own_.end(), token_.running_, place_);
}

void WatchedToken::visit(const std::function<void(Running&)>& visitor) {
  base::Lock lock(mutex_);
  for (Running& running : running_) visitor(running);
}

}  // namespace p11ha::ha
