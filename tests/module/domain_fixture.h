// Members to make a cloning domain on: SoftHSM tokens, each behind a script that may answer, or change, its calls.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cryptoki/local_module.h"
#include "cryptoki/modules.h"
#include "ha/domain/domain.h"
#include "ha/domain/token_session.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests {

inline base::SecureBytes secret(const std::string& text) { return {text.begin(), text.end()}; }

/// A member whose calls a test may answer in its place, or change on their way. One thread.
class InterceptedMember final : public cryptoki::Member {
 public:
  using Intercept = std::function<std::optional<cryptoki::Outcome>(cryptoki::Member&, const cryptoki::Call&)>;

  explicit InterceptedMember(std::shared_ptr<cryptoki::Member> member) : member_(std::move(member)) {}

  const std::string& serial() const override { return member_->serial(); }
  CK_RV attach() override { return attachRv == CKR_OK ? member_->attach() : attachRv; }
  cryptoki::Outcome execute(const cryptoki::Call& call) override {
    if (intercept) {
      if (const auto answer = intercept(*member_, call)) return *answer;
    }
    return member_->execute(call);
  }

  /// The same token, past the script: as another process reaches it.
  cryptoki::Member& behind() { return *member_; }

  CK_RV attachRv = CKR_OK;
  Intercept intercept;

 private:
  const std::shared_ptr<cryptoki::Member> member_;
};

/// Three members of SoftHSM.
class DomainTest : public testing::Test {
 protected:
  DomainTest() : store(3) {
    static auto& modules = *new cryptoki::Modules;  // never destroyed, as what it loads
    auto opened = modules.open({kSoftHsmModule, ""});
    if (!opened) throw std::runtime_error(opened.error());
    library = *opened;
    for (const std::string& serial : store.serials()) {
      members.push_back(
          std::make_unique<InterceptedMember>(std::make_shared<cryptoki::LocalMember>(library, serial, std::nullopt)));
    }
  }

  /// The first `count` members, with all PINs.
  std::vector<ha::domain::Candidate> candidates(std::size_t count = 3) {
    std::vector<ha::domain::Candidate> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back({*members[i], &userPin, &officerPin});
    return all;
  }
  ha::domain::Report join(std::size_t count = 3, const ha::domain::JoinOptions& options = {}) {
    return ha::domain::join(candidates(count), options, {});
  }
  ha::domain::Holding holding(std::size_t member) {
    ha::domain::Candidate candidate{*members[member], &userPin, nullptr};
    return ha::domain::status({&candidate, 1}).members.front().holding;
  }

  SoftHsmStore store;
  std::shared_ptr<cryptoki::LocalModule> library;
  std::vector<std::unique_ptr<InterceptedMember>> members;
  base::SecureBytes userPin = secret(store.pin());
  base::SecureBytes officerPin = secret(store.soPin());
};

}  // namespace p11ha::tests
