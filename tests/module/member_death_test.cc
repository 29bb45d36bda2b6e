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
#include "tests/support/scripted_member.h"

namespace p11ha::tests::death {
namespace {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

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
  void SetUp() override {
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

  static Template secretKey(const std::string& label) {
    Template wanted;
    wanted.addBool(CKA_TOKEN, true);
    wanted.addBool(CKA_SENSITIVE, true);
    wanted.addBool(CKA_EXTRACTABLE, false);
    wanted.addBool(CKA_ENCRYPT, true);
    wanted.addText(CKA_LABEL, label);
    wanted.addUlong(CKA_VALUE_LEN, 32);
    return wanted;
  }
  CK_RV create(const std::string& label) {
    Template wanted = dataObject(label, true);
    return call(makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &object));
  }
  CK_RV generateSecret(const std::string& label) {
    Template wanted = secretKey(label);
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    return call(makeCall<Fn::GenerateKey>(session, &mechanism, wanted.data(), wanted.count(), &object));
  }
  CK_RV generatePair(const std::string& label) {
    static constexpr std::uint8_t kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    Template forPublic;
    forPublic.addBool(CKA_TOKEN, true);
    forPublic.addText(CKA_LABEL, label);
    forPublic.addText(CKA_ID, label);
    forPublic.addBytes(CKA_EC_PARAMS, kP256);
    Template forPrivate;
    forPrivate.addBool(CKA_TOKEN, true);
    forPrivate.addBool(CKA_SIGN, true);
    forPrivate.addText(CKA_LABEL, label);
    forPrivate.addText(CKA_ID, label);
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_HANDLE publicKey = 0;
    return call(makeCall<Fn::GenerateKeyPair>(session, &mechanism, forPublic.data(), forPublic.count(),
                                              forPrivate.data(), forPrivate.count(), &publicKey, &object));
  }
  CK_RV copy(CK_OBJECT_HANDLE original, const std::string& label) {
    Template changes = labelled(label);
    return call(makeCall<Fn::CopyObject>(session, original, changes.data(), changes.count(), &object));
  }
  CK_RV rename(const std::string& label) {
    Template changes = labelled(label);
    return call(makeCall<Fn::SetAttributeValue>(session, object, changes.data(), changes.count()));
  }
  CK_RV destroy() { return call(makeCall<Fn::DestroyObject>(session, object)); }
  static Template labelled(const std::string& label) {
    Template wanted;
    wanted.addText(CKA_LABEL, label);
    return wanted;
  }

  /// What the application reads there of the object.
  std::string read(CK_ATTRIBUTE_TYPE type) {
    std::string value(64, ' ');
    CK_ATTRIBUTE wanted{type, value.data(), value.size()};
    EXPECT_EQ(call(makeCall<Fn::GetAttributeValue>(session, object, &wanted, CK_ULONG{1})), CKR_OK);
    value.resize(wanted.ulValueLen);
    return value;
  }
  /// A block as the key encrypts it.
  std::string encrypt() {
    std::string block(16, 'p');
    std::string encrypted(16, ' ');
    CK_ULONG size = encrypted.size();
    CK_MECHANISM mechanism{CKM_AES_ECB, nullptr, 0};
    EXPECT_EQ(call(makeCall<Fn::EncryptInit>(session, &mechanism, object)), CKR_OK);
    EXPECT_EQ(call(makeCall<Fn::Encrypt>(session, reinterpret_cast<CK_BYTE*>(block.data()), block.size(),
                                         reinterpret_cast<CK_BYTE*>(encrypted.data()), &size)),
              CKR_OK);
    return encrypted;
  }

  /// How many objects of that label the member itself holds, seen past the group.
  std::size_t held(std::size_t member, const std::string& label) {
    CK_SESSION_HANDLE own = 0;
    EXPECT_EQ(
        members[member]
            ->execute(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION}, nullptr, nullptr, &own))
            .rv,
        CKR_OK);
    Template query = labelled(label);
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

  /// What the application does with one object, and the label that this has, or is to have.
  using Step = std::function<CK_RV(const std::string& label)>;
  struct Trial {
    Step prepare = {};  // before a member dies
    Step act;
    std::string held = "1 1 1";  // objects of that label on each member, once all are back
    std::function<void()> look = {};
  };
  static std::string former(const std::string& label) { return "before it was " + label; }

  /// Makes the call again and again, the member's life ending one boundary later each time, until it survives it.
  void atEachBoundary(const Trial& trial) {
    for (const std::size_t victim : {0U, 1U}) {
      for (const bool after : {false, true}) {
        std::size_t boundary = 0;
        for (bool died = true; died; ++boundary) {
          ASSERT_LT(boundary, 500U);
          const std::string label =
              std::to_string(victim) + (after ? " after " : " before ") + std::to_string(boundary);
          SCOPED_TRACE("member, boundary: " + label);
          ASSERT_EQ(trial.prepare ? trial.prepare(label) : CKR_OK, CKR_OK);
          lives[victim] = {true, after, boundary, false};
          EXPECT_EQ(trial.act(label), CKR_OK);
          died = lives[victim].dead;
          revive(victim);
          EXPECT_EQ(heldByEach(label), trial.held);
          // Nothing is left of what it was, nor of what told the member that was away.
          for (const std::string& gone : {former(label), std::string("p11ha tombstone"), std::string("p11ha change")})
            EXPECT_EQ(heldByEach(gone), "0 0 0") << gone;
          if (trial.look) trial.look();
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
  CK_OBJECT_HANDLE object = 0;  // the last one made; of a pair, the private key
};

TEST_F(MemberDeath, AmidCreateObject) {
  atEachBoundary({.act = [&](const std::string& label) { return create(label); }});
}

TEST_F(MemberDeath, AmidCopyObject) {
  ASSERT_EQ(create("original"), CKR_OK);
  const CK_OBJECT_HANDLE original = object;
  atEachBoundary({.act = [&](const std::string& label) { return copy(original, label); }});
}

TEST_F(MemberDeath, AmidGenerateKey) {
  atEachBoundary({.act = [&](const std::string& label) { return generateSecret(label); }});
}

TEST_F(MemberDeath, AmidGenerateKeyPair) {
  atEachBoundary({.act = [&](const std::string& label) { return generatePair(label); }, .held = "2 2 2"});
}

TEST_F(MemberDeath, AmidDestroyObject) {
  atEachBoundary({.prepare = [&](const std::string& label) { return create(label); },
                  .act = [&](const std::string&) { return destroy(); },
                  .held = "0 0 0",
                  .look = [&] { EXPECT_EQ(destroy(), CKR_OBJECT_HANDLE_INVALID); }});
}

TEST_F(MemberDeath, AmidDestroyObjectOfAKey) {
  atEachBoundary({.prepare =
                      [&](const std::string& label) {
                        const CK_RV rv = generateSecret(label);
                        // Records of young keys are not swept.
                        scheduler.advance(std::chrono::minutes(11));
                        return rv;
                      },
                  .act = [&](const std::string&) { return destroy(); },
                  .held = "0 0 0",
                  .look = [&] { EXPECT_EQ(heldByEach("p11ha record"), "0 0 0"); }});
}

TEST_F(MemberDeath, AmidSetAttributeValue) {
  std::string named;
  atEachBoundary({.prepare = [&](const std::string& label) { return create(former(label)); },
                  .act = [&](const std::string& label) { return rename(named = label); },
                  .look =
                      [&] {
                        EXPECT_EQ(read(CKA_LABEL), named);
                        EXPECT_EQ(read(CKA_VALUE), "value of " + former(named));
                      }});
}

TEST_F(MemberDeath, AmidSetAttributeValueOfAKey) {
  std::string encrypted;
  atEachBoundary({.prepare =
                      [&](const std::string& label) {
                        const CK_RV rv = generateSecret(former(label));
                        encrypted = encrypt();
                        return rv;
                      },
                  .act = [&](const std::string& label) { return rename(label); },
                  .look =
                      [&] {
                        // On each member in turn.
                        for (std::size_t i = 0; i < members.size(); ++i) EXPECT_EQ(encrypt(), encrypted);
                      }});
}

}  // namespace
}  // namespace p11ha::tests::death
