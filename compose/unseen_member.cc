#include "compose/unseen_member.h"

namespace p11ha::compose {

UnseenMember::UnseenMember(std::string serial, std::vector<std::shared_ptr<cryptoki::LocalModule>> modules)
    : serial_(std::move(serial)) {
  for (auto& module : modules) {
    candidates_.push_back(std::make_unique<cryptoki::LocalMember>(std::move(module), serial_, std::nullopt));
  }
}

CK_RV UnseenMember::attach() {
  if (cryptoki::LocalMember* found = found_.load(std::memory_order_acquire)) return found->attach();
  for (const auto& candidate : candidates_) {
    if (candidate->attach() != CKR_OK) continue;
    found_.store(candidate.get(), std::memory_order_release);
    return CKR_OK;
  }
  return CKR_TOKEN_NOT_PRESENT;
}

cryptoki::Outcome UnseenMember::execute(const cryptoki::Call& call) {
  cryptoki::LocalMember* found = found_.load(std::memory_order_acquire);
  return found == nullptr ? cryptoki::Outcome{CKR_TOKEN_NOT_PRESENT, cryptoki::Fate::NotSent} : found->execute(call);
}

}  // namespace p11ha::compose
