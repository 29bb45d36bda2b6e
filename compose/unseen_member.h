// A member whose token no module has shown yet.
#pragma once

#include <vector>

#include "cryptoki/local_module.h"

namespace p11ha::compose {

/// Looks for its serial number in all modules at each attach(), and is that token from then on.
class UnseenMember final : public cryptoki::Member {
 public:
  UnseenMember(std::string serial, std::vector<std::shared_ptr<cryptoki::LocalModule>> modules);

  const std::string& serial() const override { return serial_; }
  CK_RV attach() override;
  /// CKR_TOKEN_NOT_PRESENT, not sent, until attach() has found it.
  cryptoki::Outcome execute(const cryptoki::Call& call) override;

 private:
  const std::string serial_;
  std::vector<std::unique_ptr<cryptoki::LocalMember>> candidates_;
  std::atomic<cryptoki::LocalMember*> found_{nullptr};
};

}  // namespace p11ha::compose
