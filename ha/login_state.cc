#include "ha/login_state.h"

namespace p11ha::ha {

void LoginState::loggedIn(CK_USER_TYPE userType, const CK_UTF8CHAR* pin, CK_ULONG length, std::string userName) {
  base::Lock lock(mutex_);
  userName_ = std::move(userName);
  pinGiven_ = pin != nullptr;
  pin_ = pinGiven_ ? std::make_unique<base::SecretPage>(std::span<const std::uint8_t>(pin, length)) : nullptr;
  user_.store(userType, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_seq_cst);
}

void LoginState::pinChanged(const CK_UTF8CHAR* pin, CK_ULONG length) {
  base::Lock lock(mutex_);
  if (pin_ != nullptr) pin_ = std::make_unique<base::SecretPage>(std::span<const std::uint8_t>(pin, length));
}

void LoginState::loggedOut() {
  base::Lock lock(mutex_);
  pin_.reset();
  userName_.clear();
  user_.store(kNobody, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_seq_cst);
}

std::optional<Credentials> LoginState::credentials() const {
  base::Lock lock(mutex_);
  const CK_USER_TYPE userType = user_.load(std::memory_order_relaxed);
  if (userType == kNobody) return std::nullopt;
  Credentials credentials{userType, pinGiven_, {}, userName_, generation_.load(std::memory_order_relaxed)};
  if (pin_ != nullptr) credentials.pin.assign(pin_->bytes().begin(), pin_->bytes().end());
  return credentials;
}

}  // namespace p11ha::ha
