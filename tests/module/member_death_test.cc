// A member dies at each boundary of a call that makes, changes or ends an object: before a call of ours reaches it, and
// after it has carried that call out but before its answer comes. Whatever the application is told, it is the truth,
// and once the member is back all of them agree ("Making a key" in CLONING.md).
#include <functional>
#include <set>

#include "cryptoki/attribute_reader.h"
#include "ha/inventory.h"
#include "ha/virtual_token.h"
#include "tests/module/domain_fixture.h"
#include "tests/support/manual_scheduler.h"
#include "tests/support/recording_sink.h"

namespace p11ha::tests::death {
namespace {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

std::span<const std::uint8_t> bytesOf(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// A member that lets so many calls pass, then is gone, and its sessions with it.
struct Life {
  bool ends = false;
  bool after = false;  // the last call is carried out
  std::size_t left = 0;
  bool dead = false;

  std::optional<Outcome> meet(cryptoki::Member& member, const Call& call) {
    if (dead) return Outcome{CKR_DEVICE_REMOVED, Fate::NotSent};
    if (!ends) return std::nullopt;
    if (left != 0) {
      --left;
      return std::nullopt;
    }
    dead = true;
    if (after) member.execute(call);
    member.execute(makeCall<Fn::CloseAllSessions>(CK_SLOT_ID{0}));
    return Outcome{CKR_DEVICE_ERROR, Fate::Unknown};
  }
};

class MemberDeath : public DomainTest {
 protected:
  void begin() {
    ASSERT_EQ(join().problem, "");
    policy.label = "group";
    policy.serial = "1000";
    policy.recovery.interval = std::chrono::seconds(60);
    std::vector<ha::MemberSpec> specs;
    for (std::size_t i = 0; i < members.size(); ++i) {
      members[i]->intercept = [this, i](cryptoki::Member& member, const Call& call) {
        return lives[i].meet(member, call);
      };
      specs.push_back({std::shared_ptr<cryptoki::Member>(members[i].get(), [](auto*) {}), false});
    }
    token = std::make_unique<ha::VirtualToken>(CK_SLOT_ID{0}, ha::Face::Group, policy, std::move(specs),
                                               ha::Ports{clock, scheduler, workers, log, sessions});
    token->start();
    scheduler.run();
    ASSERT_EQ(token->call(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION | CKF_RW_SESSION},
                                                    nullptr, nullptr, &session)),
              CKR_OK);
    std::string pin = store.pin();
    ASSERT_EQ(call(makeCall<Fn::Login>(session, CK_USER_TYPE{CKU_USER}, reinterpret_cast<CK_UTF8CHAR*>(pin.data()),
                                       pin.size())),
              CKR_OK);
  }
  void TearDown() override {
    if (!token) return;
    lives = {};
    token->stop();
    scheduler.run();
  }

  CK_RV call(Call made) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    ha::Session* const locked = sessions.lock(session);
    if (locked == nullptr) return CKR_SESSION_HANDLE_INVALID;
    const CK_RV rv = token->call(*locked, made);
    sessions.unlock(*locked);
    scheduler.run();
    return rv;
  }

  static Template dataObject(const std::string& label) {
    Template wanted;
    wanted.addUlong(CKA_CLASS, CKO_DATA);
    wanted.addBool(CKA_TOKEN, true);
    wanted.addBool(CKA_PRIVATE, true);
    wanted.addBytes(CKA_LABEL, bytesOf(label));
    wanted.addBytes(CKA_VALUE, bytesOf("value of " + label));
    return wanted;
  }
  static Template secretKey(const std::string& label) {
    Template wanted;
    wanted.addBool(CKA_TOKEN, true);
    wanted.addBool(CKA_SENSITIVE, true);
    wanted.addBool(CKA_EXTRACTABLE, false);
    wanted.addBool(CKA_ENCRYPT, true);
    wanted.addBytes(CKA_LABEL, bytesOf(label));
    wanted.addUlong(CKA_VALUE_LEN, 32);
    return wanted;
  }
  CK_RV create(const std::string& label, CK_OBJECT_HANDLE& made) {
    Template wanted = dataObject(label);
    return call(makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &made));
  }
  CK_RV generateSecret(const std::string& label, CK_OBJECT_HANDLE& made) {
    Template wanted = secretKey(label);
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    return call(makeCall<Fn::GenerateKey>(session, &mechanism, wanted.data(), wanted.count(), &made));
  }
  CK_RV generatePair(const std::string& label) {
    static constexpr std::uint8_t kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    Template forPublic;
    forPublic.addBool(CKA_TOKEN, true);
    forPublic.addBytes(CKA_LABEL, bytesOf(label));
    forPublic.addBytes(CKA_ID, bytesOf(label));
    forPublic.addBytes(CKA_EC_PARAMS, kP256);
    Template forPrivate;
    forPrivate.addBool(CKA_TOKEN, true);
    forPrivate.addBool(CKA_SIGN, true);
    forPrivate.addBytes(CKA_LABEL, bytesOf(label));
    forPrivate.addBytes(CKA_ID, bytesOf(label));
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_HANDLE publicKey = 0;
    CK_OBJECT_HANDLE privateKey = 0;
    return call(makeCall<Fn::GenerateKeyPair>(session, &mechanism, forPublic.data(), forPublic.count(),
                                              forPrivate.data(), forPrivate.count(), &publicKey, &privateKey));
  }

  /// How many objects of that label the member itself holds, seen past the group.
  std::size_t held(std::size_t member, const std::string& label) {
    CK_SESSION_HANDLE own = 0;
    EXPECT_EQ(
        members[member]
            ->execute(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION}, nullptr, nullptr, &own))
            .rv,
        CKR_OK);
    Template query;
    query.addBytes(CKA_LABEL, bytesOf(label));
    std::vector<CK_OBJECT_HANDLE> found;
    EXPECT_EQ(ha::listObjects(*members[member], own, query, found).rv, CKR_OK);
    members[member]->execute(makeCall<Fn::CloseSession>(own));
    return found.size();
  }
  /// The same on each member: "1 1 1".
  std::string heldByEach(const std::string& label) {
    std::string counts;
    for (std::size_t i = 0; i < members.size(); ++i) counts += (i == 0 ? "" : " ") + std::to_string(held(i, label));
    return counts;
  }
  void revive(std::size_t member) {
    const bool wasDead = lives[member].dead;
    lives[member] = {};
    scheduler.run();
    for (int turns = 0;
         wasDead && turns < 40 && token->memberState(static_cast<unsigned>(member)).phase != ha::Phase::Active;
         ++turns) {
      scheduler.advance(std::chrono::seconds(60));
    }
    ASSERT_EQ(token->memberState(static_cast<unsigned>(member)).phase, ha::Phase::Active);
  }

  /// Makes the call again and again, the member's life ending one boundary later each time, until it survives it.
  struct Trial {
    std::function<void(const std::string&)> prepare;
    std::function<CK_RV(const std::string&)> act;
    /// Looks, when the member is back, at what there is of that label.
    std::function<void(const std::string&, CK_RV)> judge;
  };
  void atEachBoundary(const Trial& trial) {
    for (const std::size_t victim : {0U, 1U}) {
      for (const bool after : {false, true}) {
        std::size_t boundary = 0;
        for (bool died = true; died; ++boundary) {
          ASSERT_LT(boundary, 500U);
          const std::string label =
              std::to_string(victim) + (after ? " after " : " before ") + std::to_string(boundary);
          SCOPED_TRACE("member, boundary: " + label);
          if (trial.prepare) trial.prepare(label);
          lives[victim] = {true, after, boundary, false};
          const CK_RV rv = trial.act(label);
          died = lives[victim].dead;
          revive(victim);
          trial.judge(label, rv);
          if (HasFailure()) return;
        }
        EXPECT_GT(boundary, 1U) << "that member takes part";
      }
    }
  }

  tests::ManualClock clock;
  tests::ManualScheduler scheduler{clock};
  tests::InlineWorkers workers;
  tests::RecordingSink log;
  ha::SessionTable sessions;
  ha::GroupPolicy policy;
  std::array<Life, 3> lives{};
  std::unique_ptr<ha::VirtualToken> token;
  CK_SESSION_HANDLE session = 0;
};

TEST_F(MemberDeath, AmidCreateObject) {
  begin();
  CK_OBJECT_HANDLE made = 0;
  atEachBoundary({{},
                  [&](const std::string& label) { return create(label, made); },
                  [&](const std::string& label, CK_RV rv) {
                    EXPECT_EQ(rv, CKR_OK);
                    EXPECT_EQ(heldByEach(label), "1 1 1");
                  }});
}

TEST_F(MemberDeath, AmidCopyObject) {
  begin();
  CK_OBJECT_HANDLE original = 0;
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(create("original", original), CKR_OK);
  atEachBoundary({{},
                  [&](const std::string& label) {
                    Template changes;
                    changes.addBytes(CKA_LABEL, bytesOf(label));
                    return call(makeCall<Fn::CopyObject>(session, original, changes.data(), changes.count(), &made));
                  },
                  [&](const std::string& label, CK_RV rv) {
                    EXPECT_EQ(rv, CKR_OK);
                    EXPECT_EQ(heldByEach(label), "1 1 1");
                  }});
}

TEST_F(MemberDeath, AmidGenerateKey) {
  begin();
  CK_OBJECT_HANDLE made = 0;
  atEachBoundary({{},
                  [&](const std::string& label) { return generateSecret(label, made); },
                  [&](const std::string& label, CK_RV rv) {
                    EXPECT_EQ(rv, CKR_OK);
                    EXPECT_EQ(heldByEach(label), "1 1 1");
                  }});
}

TEST_F(MemberDeath, AmidGenerateKeyPair) {
  begin();
  atEachBoundary({{},
                  [&](const std::string& label) { return generatePair(label); },
                  [&](const std::string& label, CK_RV rv) {
                    EXPECT_EQ(rv, CKR_OK);
                    EXPECT_EQ(heldByEach(label), "2 2 2");
                  }});
}

}  // namespace
}  // namespace p11ha::tests::death
