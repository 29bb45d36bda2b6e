// What processes and threads see of each other's objects on a token of SoftHSM.
#include "cryptoki/softhsm_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "cryptoki/attribute_reader.h"
#include "cryptoki/local_module.h"
#include "cryptoki/modules.h"
#include "cryptoki/template.h"
#include "ha/inventory.h"
#include "tests/support/asked_process.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests::stores {
namespace {

using cryptoki::Fn;
using cryptoki::makeCall;

// One process's use of the token.
class User {
 public:
  explicit User(const std::string& serial) {
    static auto& modules = *new cryptoki::Modules;  // never destroyed, as what it loads
    auto opened = modules.open({kSoftHsmModule, ""});
    if (!opened) throw std::runtime_error(opened.error());
    member_ = std::make_unique<cryptoki::LocalMember>(*opened, serial, std::nullopt);
    if (member_->attach() != CKR_OK) throw std::runtime_error("no token");
  }
  CK_SESSION_HANDLE open() const {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    const CK_FLAGS flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    EXPECT_EQ(member_->execute(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, flags, nullptr, nullptr, &session)).rv, CKR_OK);
    return session;
  }
  CK_RV make(CK_SESSION_HANDLE session, const std::string& label) const {
    cryptoki::Template wanted;
    wanted.addUlong(CKA_CLASS, CKO_DATA);
    wanted.addBool(CKA_TOKEN, true);
    wanted.addBool(CKA_PRIVATE, false);
    wanted.addText(CKA_LABEL, label);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    return member_->execute(makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &made)).rv;
  }
  std::vector<CK_OBJECT_HANDLE> find(CK_SESSION_HANDLE session, const std::string& label) const {
    cryptoki::Template wanted;
    if (!label.empty()) wanted.addText(CKA_LABEL, label);
    std::vector<CK_OBJECT_HANDLE> found;
    EXPECT_EQ(ha::listObjects(*member_, session, wanted, found).rv, CKR_OK);
    return found;
  }
  CK_RV read(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) const {
    static constexpr CK_ATTRIBUTE_TYPE kLabel[] = {CKA_LABEL};
    cryptoki::Template label;
    return cryptoki::readAttributes(*member_, session, object, kLabel, label).rv;
  }

 private:
  std::unique_ptr<cryptoki::LocalMember> member_;
};

// Another process, which makes an object whenever it is asked.
class OtherUser : public AskedProcess {
 public:
  explicit OtherUser(const std::string& serial)
      : AskedProcess([serial]() -> Call {
          const auto user = std::make_shared<User>(serial);
          return [user, session = user->open(), count = 0]() mutable {
            return user->make(session, "theirs " + std::to_string(++count));
          };
        }) {}

  CK_RV make() const { return ask(); }
};

TEST(SoftHsmsFileStore, ASearchAfterAChangeSeesWhatAnotherProcessMadeBefore) {
  const SoftHsmStore store(1);
  const OtherUser other(store.serial(0));
  const User user(store.serial(0));
  const CK_SESSION_HANDLE session = user.open();
  EXPECT_EQ(user.find(session, "").size(), 0U);
  ASSERT_EQ(other.make(), CKR_OK);
  ASSERT_EQ(user.make(session, "own"), CKR_OK);
  EXPECT_EQ(user.find(session, "theirs 1").size(), 1U);
  EXPECT_EQ(user.find(session, "own").size(), 1U);
}

TEST(SoftHsmsFileStore, WhatIsMadeWhileOthersWorkThereIsThereOnce) {
  constexpr int kMany = 150;
  const SoftHsmStore store(1);
  const OtherUser other(store.serial(0));
  const User user(store.serial(0));
  const CK_SESSION_HANDLE making = user.open();
  ASSERT_EQ(user.make(making, "first"), CKR_OK);
  const CK_OBJECT_HANDLE first = user.find(making, "first").at(0);
  std::atomic<bool> over{false};
  std::thread reader([&] {
    const CK_SESSION_HANDLE session = user.open();
    while (!over) EXPECT_EQ(user.read(session, first), CKR_OK);
  });
  std::thread searcher([&] {
    const CK_SESSION_HANDLE session = user.open();
    while (!over) EXPECT_EQ(user.find(session, "first").size(), 1U);
  });
  std::thread theirs([&] {
    for (int i = 0; i < kMany; ++i) EXPECT_EQ(other.make(), CKR_OK);
  });
  for (int i = 0; i < kMany; ++i) EXPECT_EQ(user.make(making, "own " + std::to_string(i)), CKR_OK);
  theirs.join();
  over = true;
  reader.join();
  searcher.join();
  EXPECT_EQ(user.find(making, "").size(), 2U * kMany + 1);
}

}  // namespace
}  // namespace p11ha::tests::stores
