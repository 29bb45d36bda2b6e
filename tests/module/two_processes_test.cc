// What another process does to the members amid a call, or a recovery, of this one: each finds what the other could not
// know of. That process is here whoever makes calls on the members past the group's script, at a moment of its choice.
#include <functional>

#include "cryptoki/attribute_reader.h"
#include "ha/inventory.h"
#include "ha/notes/on_member.h"
#include "ha/turn.h"
#include "ha/virtual_token.h"
#include "tests/module/domain_fixture.h"
#include "tests/support/manual_scheduler.h"
#include "tests/support/recording_sink.h"
#include "tests/support/scripted_member.h"

namespace p11ha::tests::processes {
namespace {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

const std::string kTombstone = "p11ha tombstone";
const std::string kChange = "p11ha change";

// The call makes an object of that label.
bool makes(const Call& call, std::string_view label) {
  if (call.fn != Fn::CreateObject) return false;
  const auto wanted = Template::copyOf(call.get<const CK_ATTRIBUTE*>(1), call.get<CK_ULONG>(2));
  const auto its = wanted.value().find(CKA_LABEL);
  return its && std::equal(its->begin(), its->end(), label.begin(), label.end());
}
Template labelled(const std::string& label) {
  Template wanted;
  wanted.addText(CKA_LABEL, label);
  return wanted;
}
Template data(const std::string& label, const std::string& value = "value") {
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_DATA);
  wanted.addBool(CKA_TOKEN, true);
  wanted.addBool(CKA_PRIVATE, false);
  wanted.addText(CKA_LABEL, label);
  wanted.addText(CKA_VALUE, value);
  return wanted;
}
Template secretKey(const std::string& label) {
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  wanted.addUlong(CKA_KEY_TYPE, CKK_AES);
  for (const CK_ATTRIBUTE_TYPE set : {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_ENCRYPT, CKA_DECRYPT})
    wanted.addBool(set, true);
  wanted.addText(CKA_LABEL, label);
  wanted.addText(CKA_VALUE, "thirty-two bytes, as of AES-256.");
  return wanted;
}

class TwoProcesses : public DomainTest {
 protected:
  using When = std::function<bool(const Call&)>;
  using What = std::function<void()>;

  void SetUp() override {
    policy.label = "group";
    policy.serial = "1000";
    policy.cloning = ha::CloningPolicy::User;
    for (std::size_t i = 0; i < members.size(); ++i) {
      ASSERT_EQ(members[i]->attach(), CKR_OK);
      ASSERT_EQ(there(i, makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, CK_FLAGS{CKF_SERIAL_SESSION | CKF_RW_SESSION},
                                                   nullptr, nullptr, &direct.at(i))),
                CKR_OK);
      members[i]->intercept = [this, i](cryptoki::Member&, const Call& call) { return meet(i, call); };
    }
    start();
  }
  void TearDown() override {
    down = {};
    hooks = {};
    if (token) stop();
  }
  /// This process; its application is logged in.
  void start() {
    std::vector<ha::MemberSpec> specs;
    for (auto& member : members)
      specs.push_back({std::shared_ptr<cryptoki::Member>(member.get(), [](auto*) {}), false});
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
  void stop() {
    token->stop();
    scheduler.run();
    token.reset();
    scheduler.clear();
  }

  CK_RV call(Call made) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    ha::Session* const locked = sessions.lock(session);
    if (locked == nullptr) return CKR_SESSION_HANDLE_INVALID;
    const CK_RV rv = token->call(*locked, made);
    sessions.unlock(*locked);
    scheduler.run();
    return rv;
  }
  CK_RV create(Template wanted, CK_OBJECT_HANDLE& made) {
    return call(makeCall<Fn::CreateObject>(session, wanted.data(), wanted.count(), &made));
  }
  CK_RV destroy(CK_OBJECT_HANDLE object) { return call(makeCall<Fn::DestroyObject>(session, object)); }
  CK_RV rename(CK_OBJECT_HANDLE object, const std::string& label) {
    Template changes = labelled(label);
    return call(makeCall<Fn::SetAttributeValue>(session, object, changes.data(), changes.count()));
  }
  std::vector<CK_OBJECT_HANDLE> find(Template query) {
    std::vector<CK_OBJECT_HANDLE> found(16);
    CK_ULONG count = 0;
    EXPECT_EQ(call(makeCall<Fn::FindObjectsInit>(session, query.data(), query.count())), CKR_OK);
    EXPECT_EQ(call(makeCall<Fn::FindObjects>(session, found.data(), CK_ULONG{16}, &count)), CKR_OK);
    EXPECT_EQ(call(makeCall<Fn::FindObjectsFinal>(session)), CKR_OK);
    found.resize(count);
    return found;
  }
  CK_RV encrypt(CK_OBJECT_HANDLE key) {
    CK_BYTE block[16] = {7};
    CK_ULONG size = sizeof block;
    CK_MECHANISM mechanism{CKM_AES_ECB, nullptr, 0};
    if (const CK_RV rv = call(makeCall<Fn::EncryptInit>(session, &mechanism, key)); rv != CKR_OK) return rv;
    return call(makeCall<Fn::Encrypt>(session, block, CK_ULONG{sizeof block}, block, &size));
  }
  CK_RV sign(CK_OBJECT_HANDLE key) {
    CK_BYTE hash[32] = {7};
    CK_BYTE signature[64];
    CK_ULONG size = sizeof signature;
    CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
    if (const CK_RV rv = call(makeCall<Fn::SignInit>(session, &mechanism, key)); rv != CKR_OK) return rv;
    return call(makeCall<Fn::Sign>(session, hash, CK_ULONG{sizeof hash}, signature, &size));
  }
  CK_RV generatePair(const std::string& label) {
    static constexpr std::uint8_t kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    Template forPublic = labelled("public " + label);
    forPublic.addBool(CKA_TOKEN, true);
    forPublic.addBytes(CKA_EC_PARAMS, kP256);
    Template forPrivate = labelled(label);
    for (const CK_ATTRIBUTE_TYPE set : {CKA_TOKEN, CKA_PRIVATE, CKA_SIGN, CKA_SENSITIVE, CKA_EXTRACTABLE})
      forPrivate.addBool(set, true);
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_HANDLE made[2] = {};
    return call(makeCall<Fn::GenerateKeyPair>(session, &mechanism, forPublic.data(), forPublic.count(),
                                              forPrivate.data(), forPrivate.count(), &made[0], &made[1]));
  }

  // The other process.
  CK_RV there(std::size_t member, const Call& made) { return members.at(member)->behind().execute(made).rv; }
  std::vector<CK_OBJECT_HANDLE> findOn(std::size_t member, const std::string& label) {
    Template query = labelled(label);
    std::vector<CK_OBJECT_HANDLE> found;
    EXPECT_EQ(ha::listObjects(members.at(member)->behind(), direct.at(member), query, found).rv, CKR_OK);
    return found;
  }
  void putOn(std::size_t member, Template object) {
    CK_OBJECT_HANDLE made = 0;
    EXPECT_EQ(there(member, makeCall<Fn::CreateObject>(direct.at(member), object.data(), object.count(), &made)),
              CKR_OK);
  }
  void destroyOn(std::size_t member, const std::string& label) {
    for (const CK_OBJECT_HANDLE object : findOn(member, label))
      EXPECT_EQ(there(member, makeCall<Fn::DestroyObject>(direct.at(member), object)), CKR_OK);
  }
  void renameOn(std::size_t member, const std::string& from, const std::string& to) {
    Template changes = labelled(to);
    for (const CK_OBJECT_HANDLE object : findOn(member, from)) {
      EXPECT_EQ(
          there(member, makeCall<Fn::SetAttributeValue>(direct.at(member), object, changes.data(), changes.count())),
          CKR_OK);
    }
  }
  ha::notes::Subject subject(std::size_t member, const std::string& label) {
    ha::Identity identity;
    EXPECT_EQ(
        ha::readIdentity(members.at(member)->behind(), direct.at(member), findOn(member, label).at(0), identity).rv,
        CKR_OK);
    return ha::notes::subjectOf(identity);
  }
  ha::notes::Note tombstone(const ha::notes::Subject& about) {
    return {policy.serial, ha::notes::Tombstone{about, 9'000'000'000'000, false, members[0]->serial()}};
  }
  void noteOn(std::size_t member, const ha::notes::Note& note) { putOn(member, ha::notes::templateOf(note)); }

  /// How many objects of that label each member holds: "1 1 1".
  std::string held(const std::string& label) {
    std::string counts;
    for (std::size_t i = 0; i < members.size(); ++i)
      counts += (i == 0 ? "" : " ") + std::to_string(findOn(i, label).size());
    return counts;
  }

  /// Once, at the first such call of this process on that member: before it is carried out.
  void onceAt(std::size_t member, When when, What what) {
    hooks.at(member).push_back({std::move(when), std::move(what)});
  }
  bool allCame() const {
    return std::all_of(hooks.begin(), hooks.end(), [](const auto& each) { return each.empty(); });
  }
  std::optional<Outcome> meet(std::size_t member, const Call& call) {
    auto& waiting = hooks.at(member);
    for (bool any = true; any;) {
      const auto met = std::find_if(waiting.begin(), waiting.end(), [&](const Hook& hook) { return hook.when(call); });
      any = met != waiting.end();
      if (!any) break;
      const What what = std::move(met->what);
      waiting.erase(met);
      what();
    }
    if (down.at(member)) return Outcome{CKR_DEVICE_REMOVED, cryptoki::Fate::NotSent};
    return std::nullopt;
  }
  ha::Phase phase(std::size_t member) const { return token->memberState(static_cast<unsigned>(member)).phase; }
  /// A call that goes to all members notices that it is gone.
  void lose(std::size_t member) {
    down.at(member) = true;
    CK_BYTE seed[] = {1};
    EXPECT_EQ(call(makeCall<Fn::SeedRandom>(session, seed, CK_ULONG{1})), CKR_OK);
    ASSERT_EQ(phase(member), ha::Phase::Down);
  }
  void recover(std::size_t member) {
    down.at(member) = false;
    for (int turns = 0; turns < 40 && phase(member) != ha::Phase::Active; ++turns)
      scheduler.advance(std::chrono::seconds(60));
    ASSERT_EQ(phase(member), ha::Phase::Active);
  }

  struct Hook {
    When when;
    What what;
  };
  tests::ManualClock clock;
  tests::ManualScheduler scheduler{clock};
  tests::InlineWorkers workers;
  tests::RecordingSink log;
  ha::SessionTable sessions;
  ha::GroupPolicy policy;
  std::array<bool, 3> down{};
  std::array<std::vector<Hook>, 3> hooks;
  std::array<CK_SESSION_HANDLE, 3> direct{};
  std::unique_ptr<ha::VirtualToken> token;
  CK_SESSION_HANDLE session = 0;
};

const std::string kName = "it";

// A copy comes to a member that did not show it, before the tombstone is written.
class TwoProcessesLate : public TwoProcesses, public testing::WithParamInterface<bool> {
 protected:
  static Template object() { return GetParam() ? secretKey(kName) : data(kName); }
};
INSTANTIATE_TEST_SUITE_P(Of, TwoProcessesLate, testing::Values(false, true),
                         [](const auto& each) { return each.param ? "AKey" : "Data"; });

TEST_P(TwoProcessesLate, ACopyThatComesWhileItIsDestroyedIsDestroyed) {
  for (const std::size_t holder : {0U, 2U}) putOn(holder, object());
  const auto found = find(labelled(kName));
  ASSERT_EQ(found.size(), 1U);
  onceAt(
      0, [](const Call& made) { return makes(made, kTombstone); }, [&] { putOn(1, object()); });
  ASSERT_EQ(destroy(found[0]), CKR_OK);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held(kName), "0 0 0");
  EXPECT_EQ(held(kTombstone), "1 0 1");
}

TEST_P(TwoProcessesLate, ATwinThatIsKnownIsNotTakenForThatCopy) {
  CK_OBJECT_HANDLE one = 0;
  CK_OBJECT_HANDLE twin = 0;
  ASSERT_EQ(create(object(), one), CKR_OK);
  ASSERT_EQ(create(object(), twin), CKR_OK);
  ASSERT_EQ(held(kName), "2 2 2");
  lose(1);
  ASSERT_EQ(destroy(one), CKR_OK);
  EXPECT_EQ(held(kName), "1 2 1");
  EXPECT_EQ(find(labelled(kName)), std::vector{twin});
}

// It is copied to a member that comes back.
class TwoProcessesCopying : public TwoProcesses {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(TwoProcesses::SetUp());
    for (const std::size_t holder : {0U, 2U}) putOn(holder, data(kName));
    ASSERT_EQ(find(labelled(kName)).size(), 1U);
    lose(1);
  }
  void amidTheCopy(What what) {
    onceAt(
        1, [](const Call& made) { return makes(made, kName); }, std::move(what));
  }
};

TEST_F(TwoProcessesCopying, WhatEndsWithoutANoteWhereItWasIsNotLeftWhereItCame) {
  amidTheCopy([&] {
    destroyOn(0, kName);
    destroyOn(2, kName);
  });
  recover(1);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held(kName), "0 0 0");
}

// Whoever noted it has its turn next, and finds that all have followed.
TEST_F(TwoProcessesCopying, WhatIsNotedAsDestroyedIsGoneBeforeTheTurnEnds) {
  amidTheCopy([&] {
    const ha::notes::Note note = tombstone(subject(0, kName));
    destroyOn(0, kName);
    noteOn(0, note);
    onceAt(
        0, [](const Call& made) { return made.fn == Fn::CloseSession; },
        [&] {
          EXPECT_EQ(held(kName), "0 0 1");
          destroyOn(2, kName);
          destroyOn(0, kTombstone);
        });
  });
  recover(1);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held(kName), "0 0 0");
}

TEST_F(TwoProcessesCopying, WhereASourceCannotBeAskedTheCopyStays) {
  amidTheCopy([&] {
    destroyOn(0, kName);
    down.at(2) = true;
  });
  recover(1);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held(kName).substr(2), "1 1");
}

// Of an object it makes a copy under another name, and destroys the original: here on the first member so far.
TEST_F(TwoProcesses, ACopyUnderAnotherNameIsNotTheOriginalThatHasGone) {
  CK_OBJECT_HANDLE original = 0;
  ASSERT_EQ(create(data(kName), original), CKR_OK);
  for (std::size_t i = 0; i < members.size(); ++i) putOn(i, data("copy"));
  destroyOn(0, kName);
  ASSERT_EQ(destroy(original), CKR_OK);
  EXPECT_EQ(held(kName), "0 0 0");
  EXPECT_EQ(held("copy"), "1 1 1");
}

// A copy comes to a member that did not show it, before the change is noted.
TEST_F(TwoProcesses, ACopyThatComesWhileItIsChangedIsChanged) {
  for (const std::size_t holder : {0U, 2U}) putOn(holder, data(kName));
  const auto found = find(labelled(kName));
  ASSERT_EQ(found.size(), 1U);
  onceAt(
      0, [](const Call& made) { return makes(made, kChange); }, [&] { putOn(1, data(kName)); });
  ASSERT_EQ(rename(found[0], "new"), CKR_OK);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held(kChange), "1 0 1");
  EXPECT_EQ(held("new"), "1 1 1");
  EXPECT_EQ(held(kName), "0 0 0");
}

// The member that this process saw it on first dies before the key is used there.
TEST_F(TwoProcesses, AKeyWhoseOnlyCertainHolderDiesIsUsedElsewhere) {
  CK_OBJECT_HANDLE secret = 0;
  ASSERT_EQ(create(secretKey("secret"), secret), CKR_OK);
  ASSERT_EQ(generatePair("private"), CKR_OK);
  // So that nothing tells what it is made of but its signatures.
  for (std::size_t i = 0; i < members.size(); ++i) destroyOn(i, "public private");
  for (const std::string key : {"secret", "private"}) {
    stop();
    ASSERT_NO_FATAL_FAILURE(start());
    onceAt(
        0, [&](const Call& made) { return made.fn == (key == "secret" ? Fn::DigestInit : Fn::SignInit); },
        [&] { down.at(0) = true; });
    const auto found = find(labelled(key));
    ASSERT_EQ(found.size(), 1U) << key;
    EXPECT_TRUE(allCame()) << key;
    for (int i = 0; i < 6; ++i) EXPECT_EQ(key == "secret" ? encrypt(found[0]) : sign(found[0]), CKR_OK) << key;
    EXPECT_EQ(phase(0), ha::Phase::Down) << key;
    down.at(0) = false;
  }
}

// Renamed on one member after the other while the one in the middle comes back.
TEST_F(TwoProcesses, WhatIsRenamedWhileItWouldBeCopiedIsNotCopied) {
  CK_OBJECT_HANDLE beside = 0;  // else the token would be taken for one that was initialised anew
  ASSERT_EQ(create(data("beside"), beside), CKR_OK);
  CK_OBJECT_HANDLE object = 0;
  ASSERT_EQ(create(data(kName), object), CKR_OK);
  lose(1);
  renameOn(1, kName, "new");
  onceAt(
      1, [](const Call& made) { return makes(made, ha::Turn::kLabel); },
      [&] {
        renameOn(0, kName, "new");
        renameOn(2, kName, "new");
      });
  recover(1);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held("new"), "1 1 1");
  EXPECT_EQ(held(kName), "0 0 0");
  EXPECT_EQ(find(labelled("new")), std::vector{object});
}

// By a process that did not reach the last member.
TEST_F(TwoProcesses, WhatWasRenamedBeforeItsEndWasNotedIsFound) {
  CK_OBJECT_HANDLE object = 0;
  ASSERT_EQ(create(data(kName), object), CKR_OK);
  lose(1);
  for (std::size_t i = 0; i < members.size(); ++i) renameOn(i, kName, "new");
  const ha::notes::Note note = tombstone(subject(0, "new"));
  for (const std::size_t reached : {0U, 1U}) {
    destroyOn(reached, "new");
    noteOn(reached, note);
  }
  recover(1);
  EXPECT_EQ(held("new"), "0 0 0");
}

// The last was away, and had missed nothing before.
TEST_F(TwoProcesses, WhatIsDestroyedAfterAnotherRenamedItIsNotedByItsName) {
  CK_OBJECT_HANDLE object = 0;
  ASSERT_EQ(create(data(kName), object), CKR_OK);
  lose(2);
  for (std::size_t i = 0; i < members.size(); ++i) renameOn(i, kName, "new");
  ASSERT_EQ(destroy(object), CKR_OK);
  recover(2);
  EXPECT_EQ(held("new"), "0 0 0");
}

TEST_F(TwoProcesses, SoIsAKeyWhoseCertainHolderIsLost) {
  ASSERT_EQ(generatePair(kName), CKR_OK);
  stop();
  ASSERT_NO_FATAL_FAILURE(start());
  const auto found = find(labelled(kName));
  ASSERT_EQ(found.size(), 1U);
  lose(0);
  for (std::size_t i = 0; i < members.size(); ++i) renameOn(i, kName, "new");
  ASSERT_EQ(destroy(found[0]), CKR_OK);
  EXPECT_EQ(held("new"), "1 0 0");
  recover(0);
  EXPECT_EQ(held("new"), "0 0 0");
}

// The first member comes back; when it is looked at in turn, it has not what the other process gives it next, and what
// that destroys on the others, once it has lost the first.
class TwoProcessesFresh : public TwoProcesses {
 protected:
  /// Amid the second look, after the first member was looked at.
  void amidTheLook(const What& what) {
    onceAt(
        0, [](const Call& made) { return makes(made, ha::Turn::kLabel); },
        [this, what] {
          onceAt(
              1, [](const Call& made) { return made.fn == Fn::FindObjectsInit && made.get<CK_ULONG>(2) == 0; }, what);
        });
  }
};

TEST_F(TwoProcessesFresh, ATombstoneThatCameDuringTheLookIsNotPutBesideWhatItIsAbout) {
  lose(0);
  CK_OBJECT_HANDLE object = 0;
  ASSERT_EQ(create(data(kName), object), CKR_OK);
  lose(2);
  amidTheLook([&] {
    putOn(0, data(kName));
    const ha::notes::Note note = tombstone(subject(1, kName));
    destroyOn(1, kName);
    noteOn(1, note);
  });
  recover(0);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held(kName), "0 0 1");
}

TEST_F(TwoProcessesFresh, WhatLeadsToItsNameStaysAsLong) {
  CK_OBJECT_HANDLE beside = 0;  // else the token would be taken for one that was initialised anew
  ASSERT_EQ(create(data("beside"), beside), CKR_OK);
  CK_OBJECT_HANDLE object = 0;
  ASSERT_EQ(create(data(kName), object), CKR_OK);
  lose(0);
  ASSERT_EQ(rename(object, "new"), CKR_OK);
  ASSERT_EQ(held(kChange), "0 1 1");
  destroyOn(0, kName);
  amidTheLook([&] {
    putOn(0, data(kName));
    const ha::notes::Note note = tombstone(subject(1, "new"));
    for (const std::size_t reached : {1U, 2U}) {
      destroyOn(reached, "new");
      noteOn(reached, note);
    }
  });
  recover(0);
  EXPECT_TRUE(allCame());
  EXPECT_EQ(held(kName), "0 0 0");
  EXPECT_EQ(held("new"), "0 0 0");
}

TEST_F(TwoProcesses, WithoutItsTurnNoMemberIsBroughtBack) {
  lose(1);
  CK_OBJECT_HANDLE object = 0;
  ASSERT_EQ(create(data(kName), object), CKR_OK);
  bool says = false;
  members[1]->intercept = [&](cryptoki::Member&, const Call& made) -> std::optional<Outcome> {
    const bool looksForClaims = made.fn == Fn::FindObjectsInit && made.get<CK_ULONG>(2) == 3;
    return looksForClaims && !says ? std::optional(Outcome{CKR_FUNCTION_NOT_SUPPORTED}) : std::nullopt;
  };
  scheduler.advance(std::chrono::seconds(60));
  EXPECT_EQ(phase(1), ha::Phase::Down);
  EXPECT_EQ(held(kName), "1 0 1");
  EXPECT_EQ(log.count<halog::RecoveryFailed>(), 1U);
  says = true;
  recover(1);
  EXPECT_EQ(held(kName), "1 1 1");
}

}  // namespace
}  // namespace p11ha::tests::processes
