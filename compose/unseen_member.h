// A member whose token neither a module nor a server has shown yet.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "cryptoki/member.h"

namespace p11ha::compose {

/// Is looked for wherever it may be at each attach(), and is that token from then on.
class UnseenMember final : public cryptoki::Member {
 public:
  UnseenMember(std::string serial, std::vector<std::shared_ptr<cryptoki::Member>> candidates)
      : serial_(std::move(serial)), candidates_(std::move(candidates)) {}

  const std::string& serial() const override { return serial_; }
  CK_RV attach() override;
  /// CKR_TOKEN_NOT_PRESENT, not sent, until attach() has found it.
  cryptoki::Outcome execute(const cryptoki::Call& call) override;

 private:
  const std::string serial_;
  const std::vector<std::shared_ptr<cryptoki::Member>> candidates_;
  std::atomic<cryptoki::Member*> found_{nullptr};
};

}  // namespace p11ha::compose
