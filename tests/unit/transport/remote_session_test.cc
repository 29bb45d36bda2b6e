// An Init that would succeed goes with its call, and nobody can tell.
#include "transport/client/remote_session.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/unit/transport/link_peer.h"

namespace p11ha::transport {
namespace {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using tests::LinkPeer;

constexpr CK_SESSION_HANDLE kSession = 77;
constexpr CK_OBJECT_HANDLE kKey = 9;

class RemoteSessionTest : public testing::Test {
 protected:
  RemoteSessionTest() {
    std::vector<std::unique_ptr<Link>> links;
    links.push_back(peer_.takeLink());
    attachment_ = std::make_shared<Attachment>(std::move(links));
    session_ = another();
  }

  std::unique_ptr<RemoteSession> another(CK_SESSION_HANDLE handle = kSession) {
    return std::make_unique<RemoteSession>(attachment_, attachment_->first(), handle);
  }

  static base::Monotonic soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(10); }

  /// A call that is answered without a word to the server.
  CK_RV here(const Call& call) {
    const Outcome outcome = session_->execute(call, soon());
    EXPECT_EQ(outcome.fate, Fate::Answered);
    return outcome.rv;
  }
  struct Sent {
    CK_RV rv = CKR_OK;
    std::vector<Fn> functions;  // of the frames that came
    std::vector<std::uint16_t> flags;
  };
  /// A call that takes so many frames, each answered with the next of `rvs`.
  Sent sent(const Call& call, const std::vector<CK_RV>& rvs, const LinkPeer::Fill& fill = {}, CK_RV initRv = CKR_OK) {
    auto outcome = std::async(std::launch::async, [&] { return session_->execute(call, soon()); });
    Sent result;
    for (const CK_RV rv : rvs) {
      const auto request = peer_.request();
      result.functions.push_back(static_cast<Fn>(request.header.opcode));
      result.flags.push_back(request.header.flags);
      peer_.answer(request, rv, fill, initRv);
    }
    result.rv = outcome.get().rv;
    return result;
  }
  void expectSent(const Call& call, const std::vector<Fn>& functions, CK_RV rv = CKR_OK) {
    std::vector<CK_RV> rvs(functions.size(), CKR_OK);
    rvs.back() = rv;
    const Sent result = sent(call, rvs);
    EXPECT_EQ(result.rv, rv);
    EXPECT_EQ(result.functions, functions);
    for (const std::uint16_t flags : result.flags) EXPECT_EQ(flags, 0);
  }
  void expectSentWithInit(const Call& call, Fn fn, CK_RV rv = CKR_OK, CK_RV initRv = CKR_OK) {
    const Sent result = sent(call, {rv}, {}, initRv);
    EXPECT_EQ(result.rv, initRv == CKR_OK ? rv : initRv);
    EXPECT_EQ(result.functions, std::vector<Fn>{fn});
    EXPECT_EQ(result.flags, std::vector<std::uint16_t>{kFlagHasInit});
  }

  Call signInit(CK_OBJECT_HANDLE key = kKey) { return makeCall<Fn::SignInit>(kSession, &ecdsa_, key); }
  Call sign() {
    length_ = sizeof signature_;
    return makeCall<Fn::Sign>(kSession, data_, CK_ULONG{sizeof data_}, signature_, &length_);
  }
  Call sizeQuery() {
    length_ = 0;
    return makeCall<Fn::Sign>(kSession, data_, CK_ULONG{sizeof data_}, nullptr, &length_);
  }
  Call random() { return makeCall<Fn::GenerateRandom>(kSession, data_, CK_ULONG{sizeof data_}); }

  /// Twice as usual, so that it is known.
  void makeKnown() {
    expectSent(signInit(), {Fn::SignInit});
    expectSent(sign(), {Fn::Sign});
    // Before it is held back for the first time, it is asked what kind of key that is.
    expectSent(signInit(), {Fn::SignInit, Fn::GetAttributeValue});
    expectSent(sign(), {Fn::Sign});
  }

  LinkPeer peer_;
  std::shared_ptr<Attachment> attachment_;
  std::unique_ptr<RemoteSession> session_;
  CK_MECHANISM ecdsa_{CKM_ECDSA, nullptr, 0};
  CK_BYTE data_[4] = {1, 2, 3, 4};
  CK_BYTE signature_[16] = {};
  CK_ULONG length_ = 0;
};

TEST_F(RemoteSessionTest, AKnownInitGoesWithItsCall) {
  makeKnown();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(here(signInit()), CKR_OK);
    expectSentWithInit(sign(), Fn::Sign);
  }
  // In every session.
  session_ = another();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(sign(), Fn::Sign);
}

TEST_F(RemoteSessionTest, AnotherKeyMechanismOrFunctionIsAnotherInit) {
  makeKnown();
  expectSent(signInit(kKey + 1), {Fn::SignInit});
  expectSent(sign(), {Fn::Sign});
  CK_MECHANISM other{CKM_ECDSA_SHA256, nullptr, 0};
  expectSent(makeCall<Fn::SignInit>(kSession, &other, kKey), {Fn::SignInit});
  expectSent(sign(), {Fn::Sign});
  expectSent(makeCall<Fn::VerifyInit>(kSession, &ecdsa_, kKey), {Fn::VerifyInit});
}

TEST_F(RemoteSessionTest, PartsAreTheOperationsCallsToo) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(makeCall<Fn::SignUpdate>(kSession, data_, CK_ULONG{4}), Fn::SignUpdate);
  // It is active now.
  expectSent(signInit(), {Fn::SignInit}, CKR_OPERATION_ACTIVE);
  length_ = sizeof signature_;
  expectSent(makeCall<Fn::SignFinal>(kSession, signature_, &length_), {Fn::SignFinal});
}

TEST_F(RemoteSessionTest, ASizeQueryLeavesItActive) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(sizeQuery(), Fn::Sign);
  expectSent(signInit(), {Fn::SignInit}, CKR_OPERATION_ACTIVE);
  expectSent(sign(), {Fn::Sign});
}

TEST_F(RemoteSessionTest, ALogoutIsMadeThoughTheInitFails) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  const Sent result = sent(makeCall<Fn::Logout>(kSession), {CKR_KEY_HANDLE_INVALID, CKR_OK});
  EXPECT_EQ(result.rv, CKR_OK);
  EXPECT_EQ(result.functions, (std::vector<Fn>{Fn::SignInit, Fn::Logout}));
  expectSent(sign(), {Fn::Sign}, CKR_OPERATION_NOT_INITIALIZED);
}

TEST_F(RemoteSessionTest, AnyOtherCallSendsItFirst) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSent(random(), {Fn::SignInit, Fn::GenerateRandom});
  expectSent(sign(), {Fn::Sign});
  EXPECT_EQ(here(signInit()), CKR_OK);
  CK_MECHANISM sha{CKM_SHA256, nullptr, 0};
  expectSent(makeCall<Fn::DigestInit>(kSession, &sha), {Fn::SignInit, Fn::DigestInit}, CKR_OPERATION_ACTIVE);
  expectSent(sign(), {Fn::Sign});
}

TEST_F(RemoteSessionTest, ASecondInitMeetsTheFirst) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(signInit(), Fn::SignInit, CKR_OPERATION_ACTIVE);
  expectSent(sign(), {Fn::Sign});
}

TEST_F(RemoteSessionTest, IfItFailsAfterAllThatIsTheAnswer) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(sign(), Fn::Sign, CKR_OK, CKR_KEY_HANDLE_INVALID);
  // And it is known no more.
  expectSent(signInit(), {Fn::SignInit}, CKR_KEY_HANDLE_INVALID);
  EXPECT_EQ(attachment_->inits().find(Fn::SignInit, {}, 0), KnownInits::Standing::Unknown);
}

TEST_F(RemoteSessionTest, AfterAChangeOfMindItIsSentAgain) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(sign(), Fn::Sign);
  attachment_->changed();
  expectSent(signInit(), {Fn::SignInit});
  expectSent(sign(), {Fn::Sign});
}

TEST_F(RemoteSessionTest, AnOperationThatMayBeActiveStandsInItsWay) {
  makeKnown();
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(sign(), Fn::Sign, CKR_DATA_LEN_RANGE);
  // Modules differ in what is left of an operation that met an error.
  expectSent(signInit(), {Fn::SignInit});
  expectSent(sign(), {Fn::Sign});
  EXPECT_EQ(here(signInit()), CKR_OK);
  expectSentWithInit(sign(), Fn::Sign, CKR_BUFFER_TOO_SMALL);
  expectSent(signInit(), {Fn::SignInit}, CKR_OPERATION_ACTIVE);
}

TEST_F(RemoteSessionTest, AKeyForEachUseIsNeverHeldBack) {
  const auto always = [](const Outputs& outputs) {
    if (outputs.size() == 1 && outputs[0].kind == Output::Kind::Attribute)
      *static_cast<CK_BBOOL*>(outputs[0].data) = CK_TRUE;
  };
  expectSent(signInit(), {Fn::SignInit});
  expectSent(sign(), {Fn::Sign});
  EXPECT_EQ(sent(signInit(), {CKR_OK, CKR_OK}, always).functions,
            (std::vector<Fn>{Fn::SignInit, Fn::GetAttributeValue}));
  expectSent(sign(), {Fn::Sign});
  for (int i = 0; i < 2; ++i) {
    expectSent(signInit(), {Fn::SignInit});
    expectSent(sign(), {Fn::Sign});
  }
}

TEST_F(RemoteSessionTest, ADigestNeedsNoKey) {
  CK_MECHANISM sha{CKM_SHA256, nullptr, 0};
  const Call init = makeCall<Fn::DigestInit>(kSession, &sha);
  length_ = sizeof signature_;
  const Call digest = makeCall<Fn::Digest>(kSession, data_, CK_ULONG{4}, signature_, &length_);
  expectSent(init, {Fn::DigestInit});
  expectSent(digest, {Fn::Digest});
  EXPECT_EQ(here(init), CKR_OK);
  expectSentWithInit(digest, Fn::Digest);
}

// What the application gave may be gone by then.
TEST_F(RemoteSessionTest, AParameterIsKeptUntilItGoes) {
  length_ = sizeof signature_;
  const Call encrypt = makeCall<Fn::Encrypt>(kSession, data_, CK_ULONG{4}, signature_, &length_);
  const auto begin = [&](const std::function<void(const Call&)>& f) {
    auto iv = std::make_unique<std::array<CK_BYTE, 12>>();
    iv->fill(3);
    auto parameters = std::make_unique<CK_GCM_PARAMS>();
    *parameters = {iv->data(), 12, 96, nullptr, 0, 128};
    CK_MECHANISM gcm{CKM_AES_GCM, parameters.get(), sizeof *parameters};
    f(makeCall<Fn::EncryptInit>(kSession, &gcm, kKey));
    iv->fill(0xEE);
    std::memset(static_cast<void*>(parameters.get()), 0xEE, sizeof *parameters);
  };
  begin([&](const Call& init) { expectSent(init, {Fn::EncryptInit}); });
  expectSent(encrypt, {Fn::Encrypt});
  begin([&](const Call& init) { expectSent(init, {Fn::EncryptInit, Fn::GetAttributeValue}); });
  expectSent(encrypt, {Fn::Encrypt});
  begin([&](const Call& init) { EXPECT_EQ(here(init), CKR_OK); });
  expectSentWithInit(encrypt, Fn::Encrypt);
}

TEST_F(RemoteSessionTest, AMemberThatWritesToItsParameterIsAskedEachTime) {
  CK_BYTE iv[12] = {};
  CK_GCM_PARAMS parameters{iv, sizeof iv, 96, nullptr, 0, 128};
  CK_MECHANISM gcm{CKM_AES_GCM, &parameters, sizeof parameters};
  const Call init = makeCall<Fn::EncryptInit>(kSession, &gcm, kKey);
  length_ = sizeof signature_;
  const Call encrypt = makeCall<Fn::Encrypt>(kSession, data_, CK_ULONG{4}, signature_, &length_);
  const auto generate = [](const Outputs& outputs) {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].kind == Output::Kind::Region && outputs[i].capacity == sizeof iv)
        std::memset(outputs[i].data, 0x42, sizeof iv);
    }
  };
  for (int i = 0; i < 3; ++i) {
    std::fill_n(iv, sizeof iv, CK_BYTE{0});
    EXPECT_EQ(sent(init, {CKR_OK}, generate).functions, std::vector<Fn>{Fn::EncryptInit});
    EXPECT_EQ(iv[0], 0x42);
    expectSent(encrypt, {Fn::Encrypt});
  }
}

}  // namespace
}  // namespace p11ha::transport
