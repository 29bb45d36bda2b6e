// A whole group of scripted members on one thread and a manual clock.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ha/virtual_token.h"
#include "tests/support/manual_scheduler.h"
#include "tests/support/recording_sink.h"
#include "tests/support/scripted_member.h"

namespace p11ha::ha::test {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using tests::ScriptedMember;

using Log = std::vector<halog::Event>;

/// Answers calls of that function so, and no other.
inline ScriptedMember::Script answering(Fn fn, Outcome outcome) {
  return [fn, outcome](const Call& call) { return call.fn == fn ? std::optional(outcome) : std::nullopt; };
}

/// Three scripted members "A", "B" and "C" that hold one private key, and a group over them that start() begins.
class VirtualTokenTest : public testing::Test {
 protected:
  struct Signed {
    CK_RV rv = CKR_OK;
    std::string by;
  };

  VirtualTokenTest() {
    policy.label = "group";
    policy.serial = "1154438865287";
    for (const char* serial : {"A", "B", "C"}) {
      members.push_back(std::make_shared<ScriptedMember>(serial));
      members.back()->put(tests::privateKey("key"));
    }
  }
  ~VirtualTokenTest() override {
    if (!token) return;
    token->stop();
    scheduler.run();
  }

  void start(const std::set<unsigned>& standby = {}) {
    std::vector<MemberSpec> specs;
    for (unsigned i = 0; i < members.size(); ++i) specs.push_back({members[i], standby.contains(i)});
    token = std::make_unique<VirtualToken>(CK_SLOT_ID{0}, Face::Group, policy, std::move(specs),
                                           Ports{clock, scheduler, workers, log, sessions});
    token->start();
    scheduler.run();
  }
  /// Started, with a `session` open: nobody is logged in, and what was logged so far is no news.
  void startOpen() {
    start();
    session = open();
    forgetNews();
  }
  /// Started, with a `session` open and logged in.
  void startLoggedIn(const std::set<unsigned>& standby = {}) {
    start(standby);
    session = open();
    ASSERT_EQ(login(session), CKR_OK);
  }
  /// The same, every member's key proved: `session` has signed on each serving member.
  void startServing(const std::set<unsigned>& standby = {}) {
    ASSERT_NO_FATAL_FAILURE(startLoggedIn(standby));
    key = findKey(session);
    std::set<std::string> signers;
    for (std::size_t i = 0; i < members.size(); ++i) signers.insert(sign(session).by);
    ASSERT_EQ(signers.size(), members.size() - standby.size());
    forgetNews();
  }

  CK_SESSION_HANDLE open(CK_FLAGS flags = CKF_RW_SESSION) {
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    EXPECT_EQ(
        token->call(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, flags | CKF_SERIAL_SESSION, nullptr, nullptr, &handle)),
        CKR_OK);
    return handle;
  }
  CK_RV call(CK_SESSION_HANDLE handle, Call made) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    Session* const locked = sessions.lock(handle);
    if (locked == nullptr) return CKR_SESSION_HANDLE_INVALID;
    made.setSession(handle);
    const CK_RV rv = token->call(*locked, made);
    sessions.unlock(*locked);
    return rv;
  }
  CK_RV login(CK_SESSION_HANDLE handle, std::string pin = "sesame") {
    const CK_RV rv = call(handle, makeCall<Fn::Login>(handle, CK_USER_TYPE{CKU_USER},
                                                      reinterpret_cast<CK_UTF8CHAR*>(pin.data()), pin.size()));
    scheduler.run();
    return rv;
  }
  CK_OBJECT_HANDLE findKey(CK_SESSION_HANDLE handle) {
    CK_OBJECT_HANDLE found[2] = {};
    CK_ULONG count = 0;
    EXPECT_EQ(call(handle, makeCall<Fn::FindObjectsInit>(handle, nullptr, CK_ULONG{0})), CKR_OK);
    EXPECT_EQ(call(handle, makeCall<Fn::FindObjects>(handle, found, CK_ULONG{2}, &count)), CKR_OK);
    EXPECT_EQ(call(handle, makeCall<Fn::FindObjectsFinal>(handle)), CKR_OK);
    EXPECT_EQ(count, 1U);
    return found[0];
  }
  CK_RV signInit(CK_SESSION_HANDLE handle) {
    CK_MECHANISM mechanism{CKM_RSA_PKCS, nullptr, 0};
    return call(handle, makeCall<Fn::SignInit>(handle, &mechanism, key));
  }
  /// The member that C_SignInit went to.
  ScriptedMember& begin(CK_SESSION_HANDLE handle) {
    std::vector<std::size_t> counts;
    for (const auto& member : members) counts.push_back(member->count(Fn::SignInit));
    EXPECT_EQ(signInit(handle), CKR_OK);
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i]->count(Fn::SignInit) != counts[i]) return *members[i];
    }
    ADD_FAILURE() << "no member was asked";
    return *members[0];
  }
  Signed finish(CK_SESSION_HANDLE handle) {
    std::string data = "data";
    std::string signature(100, '\0');
    CK_ULONG length = signature.size();
    Signed result;
    result.rv = call(handle, makeCall<Fn::Sign>(handle, reinterpret_cast<CK_BYTE*>(data.data()), data.size(),
                                                reinterpret_cast<CK_BYTE*>(signature.data()), &length));
    if (result.rv != CKR_OK) return result;
    signature.resize(length);
    result.by = signature.substr(0, signature.find(' '));
    EXPECT_EQ(signature, result.by + " signed data");
    return result;
  }
  Signed sign(CK_SESSION_HANDLE handle) {
    if (const CK_RV rv = signInit(handle); rv != CKR_OK) return {rv, {}};
    return finish(handle);
  }
  /// Lets the session take turns until that member signs.
  bool signsOn(CK_SESSION_HANDLE handle, const ScriptedMember& member) {
    for (std::size_t i = 0; i < 2 * members.size(); ++i) {
      if (sign(handle).by == member.serial()) return true;
    }
    return false;
  }
  /// Who signs, given as many turns as there are members, and twice.
  std::set<std::string> signers() {
    std::set<std::string> all;
    for (std::size_t i = 0; i < 2 * members.size(); ++i) {
      const Signed made = sign(session);
      EXPECT_EQ(made.rv, CKR_OK);
      all.insert(made.by);
    }
    scheduler.run();
    return all;
  }
  /// Makes the member fail in its next C_Sign, and signs until it has.
  void loseInSign(ScriptedMember& member, Outcome outcome) {
    member.down = outcome;
    EXPECT_EQ(signers().count(member.serial()), 0U);
  }

  unsigned indexOf(const ScriptedMember& member) const {
    return static_cast<unsigned>(
        std::find_if(members.begin(), members.end(), [&](const auto& each) { return each.get() == &member; }) -
        members.begin());
  }
  Phase phase(const ScriptedMember& member) const { return token->memberState(indexOf(member)).phase; }
  /// What was logged since the group began to serve.
  std::vector<halog::Event> news() const {
    const std::vector<halog::Event> all = log.events();
    return {all.begin() + static_cast<std::ptrdiff_t>(before), all.end()};
  }
  void forgetNews() { before = log.events().size(); }
  template <class E>
  std::size_t lines() const {
    std::size_t count = 0;
    for (const halog::Event& event : news()) count += std::holds_alternative<E>(event) ? 1 : 0;
    return count;
  }

  GroupPolicy policy;
  tests::ManualClock clock;
  tests::ManualScheduler scheduler{clock};
  tests::InlineWorkers workers;
  tests::RecordingSink log;
  SessionTable sessions;
  std::vector<std::shared_ptr<ScriptedMember>> members;
  std::unique_ptr<VirtualToken> token;
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  std::size_t before = 0;
};

}  // namespace p11ha::ha::test
