// A member whose token neither a module nor a server has shown yet.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "cryptoki/member.h"

namespace p11ha::compose {

/// Is looked for wherever it may be at each attach(), and is that token from then on. Any thread.
class UnseenMember final : public cryptoki::Member {
 public:
  UnseenMember(std::string serial, std::vector<std::shared_ptr<cryptoki::Member>> candidates)
      : serial_(std::move(serial)), candidates_(std::move(candidates)) {}

  /// It may be there, too.
  void lookAt(std::shared_ptr<cryptoki::Member> candidate) P11HA_EXCLUDES(mutex_);
  bool isFound() const { return found_.load(std::memory_order_acquire) != nullptr; }

  const std::string& serial() const override { return serial_; }
  CK_RV attach() override;
  std::string problem() const override;
  cryptoki::Standing standing() const override;
  /// CKR_TOKEN_NOT_PRESENT, not sent, until attach() has found it.
  cryptoki::Outcome execute(const cryptoki::Call& call) override;

 private:
  std::vector<std::shared_ptr<cryptoki::Member>> candidates() const P11HA_EXCLUDES(mutex_);

  const std::string serial_;
  mutable base::Mutex mutex_;
  std::vector<std::shared_ptr<cryptoki::Member>> candidates_ P11HA_GUARDED_BY(mutex_);  // none is ever taken away
  std::atomic<cryptoki::Member*> found_{nullptr};
};

}  // namespace p11ha::compose
