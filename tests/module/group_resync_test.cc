// What a member missed while it was away it learns when it is back, and the others learn what it knows.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

CK_OBJECT_CLASS dataObjects = CKO_DATA;
CK_OBJECT_CLASS certificates = CKO_CERTIFICATE;

class GroupResync : public WorkingGroup {
 protected:
  CK_RV create(Template wanted, CK_OBJECT_HANDLE& made) const {
    return client.f->C_CreateObject(session, wanted.data(), wanted.size(), &made);
  }
  CK_RV createData(const std::string& label, CK_OBJECT_HANDLE& made, bool isPrivate = false,
                   const std::string& value = "value") const {
    return create({ofClass(dataObjects), flag(CKA_TOKEN), flag(CKA_PRIVATE, isPrivate), text(CKA_LABEL, label),
                   text(CKA_VALUE, value)},
                  made);
  }
  CK_RV createSecret(const std::string& label, CK_OBJECT_HANDLE& made, bool isPrivate = true) const {
    static CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    return create({ofClass(secretKeys),
                   {CKA_KEY_TYPE, &type, sizeof type},
                   flag(CKA_TOKEN),
                   flag(CKA_PRIVATE, isPrivate),
                   flag(CKA_SIGN),
                   flag(CKA_EXTRACTABLE),
                   flag(CKA_SENSITIVE, false),
                   text(CKA_LABEL, label),
                   text(CKA_VALUE, "a secret of thirty-two bytes is .")},
                  made);
  }
  CK_RV destroy(CK_OBJECT_HANDLE object) const { return client.f->C_DestroyObject(session, object); }
  CK_RV rename(CK_OBJECT_HANDLE object, const std::string& label) const {
    Template change{text(CKA_LABEL, label)};
    return client.f->C_SetAttributeValue(session, object, change.data(), change.size());
  }
  /// How many tombstones and change records each member has.
  std::string notes() const {
    std::string counts;
    for (std::size_t i = 0; i < direct.size(); ++i) {
      std::size_t count = 0;
      for (const char* const name : {"p11ha tombstone", "p11ha change"})
        count += findOn(i, {text(CKA_APPLICATION, "p11ha"), text(CKA_LABEL, name)}).size();
      counts += (i == 0 ? "" : " ") + std::to_string(count);
    }
    return counts;
  }
  std::string labelled(const std::string& label) const { return onEach({text(CKA_LABEL, label)}); }

  /// When it is the last, nobody answers the application meanwhile.
  bool loseLast(std::size_t index) const {
    const std::string line = "has dropped member: " + store.serial(index);
    const std::size_t before = logged(line);
    tell("fail " + slot(index) + " * CKR_DEVICE_REMOVED");
    return await([&] { return client.random(session) != CKR_OK && logged(line) > before; }, line);
  }

  const std::string absent = "absent";
};

class GroupResyncOf : public GroupResync, public testing::WithParamInterface<const char*> {
 protected:
  CK_RV make(std::vector<CK_OBJECT_HANDLE>& made) const {
    const std::string kind = GetParam();
    CK_OBJECT_HANDLE one = 0;
    CK_RV rv = CKR_FUNCTION_FAILED;
    if (kind == "RsaPair" || kind == "EcPair") {
      Pair pair;
      rv = generate(kind == "EcPair" ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, absent, pair);
      made = {pair.publicKey, pair.privateKey};
      return rv;
    }
    if (kind == "PublicData") rv = createData(absent, one);
    if (kind == "PrivateData") rv = createData(absent, one, true);
    if (kind == "BareData") rv = create({ofClass(dataObjects), flag(CKA_TOKEN), text(CKA_LABEL, absent)}, one);
    if (kind == "AesKey") rv = generateAes(absent, one);
    if (kind == "GenericSecret") rv = createSecret(absent, one);
    if (kind == "Certificate") {
      static CK_CERTIFICATE_TYPE type = CKC_X_509;
      rv = create({ofClass(certificates),
                   {CKA_CERTIFICATE_TYPE, &type, sizeof type},
                   flag(CKA_TOKEN),
                   flag(CKA_PRIVATE, false),
                   text(CKA_LABEL, absent),
                   text(CKA_SUBJECT, "subject"),
                   text(CKA_VALUE, "DER of a certificate")},
                  one);
    }
    if (kind == "PublicKey") {
      static CK_KEY_TYPE type = CKK_RSA;
      rv = create({ofClass(publicKeys),
                   {CKA_KEY_TYPE, &type, sizeof type},
                   flag(CKA_TOKEN),
                   text(CKA_LABEL, absent),
                   text(CKA_MODULUS, std::string(256, 'm')),
                   {CKA_PUBLIC_EXPONENT, rsaExponent, sizeof rsaExponent}},
                  one);
    }
    made = {one};
    return rv;
  }
};

TEST_P(GroupResyncOf, WhatWasDestroyedWhileAMemberWasAwayDoesNotComeBack) {
  std::vector<CK_OBJECT_HANDLE> made;
  ASSERT_EQ(make(made), CKR_OK);
  const std::string count = std::to_string(made.size());
  EXPECT_EQ(labelled(absent), count + " " + count + " " + count);
  ASSERT_TRUE(lose(1));
  for (const CK_OBJECT_HANDLE object : made) ASSERT_EQ(destroy(object), CKR_OK);
  EXPECT_EQ(labelled(absent), "0 " + count + " 0");
  EXPECT_EQ(notes(), count + " 0 " + count);
  EXPECT_TRUE(find({text(CKA_APPLICATION, "p11ha")}).empty()) << "the application sees none";
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
  EXPECT_EQ(notes(), "0 0 0");
  EXPECT_TRUE(find({text(CKA_LABEL, absent)}).empty());
  EXPECT_EQ(logged("ambiguous"), 0U) << log();
}

// What is known of a member's objects is known to the process that saw them only.
TEST_P(GroupResyncOf, WhatAnEarlierProcessDestroyedDoesNotComeBackEither) {
  std::vector<CK_OBJECT_HANDLE> made;
  ASSERT_EQ(make(made), CKR_OK);
  ASSERT_TRUE(lose(1));
  for (const CK_OBJECT_HANDLE object : made) ASSERT_EQ(destroy(object), CKR_OK);
  startAnew();
  EXPECT_EQ(onEach({text(CKA_LABEL, absent)}).substr(0, 2), "0 ");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
  EXPECT_EQ(notes(), "0 0 0");
}

INSTANTIATE_TEST_SUITE_P(Kinds, GroupResyncOf,
                         testing::Values("PublicData", "PrivateData", "BareData", "Certificate", "PublicKey", "RsaPair",
                                         "EcPair", "AesKey", "GenericSecret"),
                         [](const auto& tested) { return std::string(tested.param); });

// As after a resync that was cut off: the process that does the rest sees a private key that shows nothing of itself.
TEST_F(GroupResync, APrivateKeyWithoutItsPublicKeyIsKnownByItsTombstone) {
  Pair pair;
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, absent, pair), CKR_OK);
  ASSERT_TRUE(lose(1));
  ASSERT_EQ(destroy(pair.publicKey), CKR_OK);
  ASSERT_EQ(destroy(pair.privateKey), CKR_OK);
  const auto there = findOn(1, {text(CKA_LABEL, absent), ofClass(publicKeys)});
  ASSERT_EQ(there.size(), 1U);
  ASSERT_EQ(softHsm->C_DestroyObject(direct[1], there.front()), CKR_OK);
  startAnew();
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
}

TEST_F(GroupResync, AKeyThatNothingCanProveIsLeftAlone) {
  CK_OBJECT_HANDLE key = 0;
  // Of a public key there is no private note, so that nothing is written down that tells it from another.
  ASSERT_EQ(createSecret(absent, key, false), CKR_OK);
  ASSERT_TRUE(lose(1));
  ASSERT_EQ(destroy(key), CKR_OK);
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 1 0") << log();
  EXPECT_GE(logged("is ambiguous"), 1U) << log();
  EXPECT_EQ(notes(), "1 0 1");
}

TEST_F(GroupResync, AnotherKeyOfItsNameIsNotTakenForIt) {
  CK_OBJECT_HANDLE key = 0;
  CK_OBJECT_HANDLE other = 0;
  ASSERT_EQ(generateAes(absent, key), CKR_OK);
  ASSERT_EQ(generateAes(absent, other), CKR_OK);
  ASSERT_TRUE(lose(1));
  ASSERT_EQ(destroy(key), CKR_OK);
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "1 1 1") << log();
  EXPECT_EQ(find({text(CKA_LABEL, absent)}), std::vector{other});
  EXPECT_EQ(notes(), "0 0 0");
}

TEST_F(GroupResync, WhatWasMadeWhileAMemberWasAwayIsThere) {
  ASSERT_TRUE(lose(1));
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(createData(absent, made), CKR_OK);
  EXPECT_EQ(labelled(absent), "1 0 1");
  EXPECT_EQ(notes(), "0 0 0");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "1 1 1");
}

TEST_F(GroupResync, WhatIsMadeAnewAfterItsDestructionStays) {
  CK_OBJECT_HANDLE made = 0;
  for (const bool isKey : {false, true}) {
    const auto make = [&] { return isKey ? createSecret(absent, made) : createData(absent, made); };
    ASSERT_EQ(make(), CKR_OK);
    ASSERT_TRUE(lose(1));
    ASSERT_EQ(destroy(made), CKR_OK);
    ASSERT_EQ(make(), CKR_OK);
    EXPECT_EQ(labelled(absent), "1 1 1");
    EXPECT_EQ(notes(), "1 0 1") << "the cancelled one, and no other";
    ASSERT_TRUE(recover(1));
    EXPECT_EQ(labelled(absent), "1 1 1") << log();
    EXPECT_EQ(notes(), "0 0 0");
    ASSERT_EQ(destroy(made), CKR_OK);
    EXPECT_EQ(labelled(absent), "0 0 0");
  }
}

TEST_F(GroupResync, WithoutATombstoneNothingIsRemovedAndEachLearnsOfTheOthers) {
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(createData(absent, made), CKR_OK);
  ASSERT_TRUE(lose(1));
  // Past the group, nobody is told.
  for (const std::size_t i : {0U, 2U}) {
    ASSERT_EQ(softHsm->C_DestroyObject(direct[i], findOn(i, {text(CKA_LABEL, absent)}).at(0)), CKR_OK);
  }
  Template own{ofClass(dataObjects), flag(CKA_TOKEN), flag(CKA_PRIVATE, false), text(CKA_LABEL, "its own"),
               text(CKA_VALUE, "made there alone")};
  ASSERT_EQ(softHsm->C_CreateObject(direct[1], own.data(), own.size(), &made), CKR_OK);
  ASSERT_TRUE(recover(1));
  EXPECT_TRUE(await([&] { return labelled("its own") == "1 1 1"; }, "each has it")) << log();
  EXPECT_TRUE(await([&] { return labelled(absent) == "1 1 1"; }, "each has it again")) << log();
}

TEST_F(GroupResync, WhereTheGroupIsNotKeptInSyncNothingIsNoted) {
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(createData(absent, made), CKR_OK);
  std::string off = configuration();
  const std::string on = "demo = 1";
  off.replace(off.find(on), on.size(), "demo = 0");
  configure(off);
  startAnew();
  ASSERT_TRUE(lose(1));
  ASSERT_EQ(destroy(find({text(CKA_LABEL, absent)}).at(0)), CKR_OK);
  EXPECT_EQ(notes(), "0 0 0");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(findOn(1, {text(CKA_LABEL, absent)}).size(), 1U);
}

TEST_F(GroupResync, AResyncThatIsCutOffIsMadeGoodByTheNext) {
  std::vector<CK_OBJECT_HANDLE> made(3);
  for (CK_OBJECT_HANDLE& each : made) ASSERT_EQ(generateAes(absent, each), CKR_OK);
  ASSERT_TRUE(lose(1));
  for (const CK_OBJECT_HANDLE each : made) ASSERT_EQ(destroy(each), CKR_OK);
  CK_OBJECT_HANDLE kept = 0;
  ASSERT_EQ(createData("kept", kept), CKR_OK);
  tell("fail " + member(1) + " C_DestroyObject CKR_DEVICE_REMOVED times 1");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(refused(1, "C_DestroyObject"), 1U);
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
  EXPECT_EQ(labelled("kept"), "1 1 1");
  EXPECT_EQ(notes(), "0 0 0");
}

TEST_F(GroupResync, ATombstoneIsCarriedOnAsLongAsAMemberIsAway) {
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(generateAes(absent, made), CKR_OK);
  ASSERT_TRUE(lose(1));
  ASSERT_TRUE(lose(2));
  ASSERT_EQ(destroy(made), CKR_OK);
  EXPECT_EQ(notes(), "1 0 0");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 0 1") << log();
  EXPECT_EQ(notes(), "1 1 0");
  // Who was there when it was destroyed is not needed any more.
  ASSERT_TRUE(lose(0));
  ASSERT_TRUE(recover(2));
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
  ASSERT_TRUE(recover(0));
  EXPECT_EQ(notes(), "0 0 0");
}

// Two applications on either side of a partition: here one after the other.
TEST_F(GroupResync, WhatAMemberAloneWasToldToDestroyTheOthersDestroyToo) {
  CK_OBJECT_HANDLE made = 0;
  ASSERT_EQ(generateAes(absent, made), CKR_OK);
  ASSERT_EQ(createData("other", made), CKR_OK);
  ASSERT_TRUE(lose(0));
  ASSERT_TRUE(lose(2));
  ASSERT_EQ(destroy(find({text(CKA_LABEL, absent)}).at(0)), CKR_OK);
  EXPECT_EQ(labelled(absent), "1 0 1");
  ASSERT_TRUE(loseLast(1));
  ASSERT_TRUE(recover(0));
  ASSERT_TRUE(recover(2));
  ASSERT_EQ(destroy(find({text(CKA_LABEL, "other")}).at(0)), CKR_OK);
  EXPECT_EQ(find({text(CKA_LABEL, absent)}).size(), 1U) << "as these see it";
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
  EXPECT_EQ(labelled("other"), "0 0 0") << log();
  EXPECT_TRUE(find({text(CKA_LABEL, absent)}).empty());
  EXPECT_EQ(notes(), "0 0 0");
  EXPECT_EQ(logged("was destroyed elsewhere while they were apart"), 3U) << log();
}

TEST_F(GroupResync, WhatWasChangedWhileAMemberWasAwayIsChangedThere) {
  CK_OBJECT_HANDLE secret = 0;
  CK_OBJECT_HANDLE data = 0;
  Pair pair;
  ASSERT_EQ(generateAes("secret", secret), CKR_OK);
  ASSERT_EQ(createData("data", data), CKR_OK);
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "pair", pair), CKR_OK);
  ASSERT_TRUE(lose(1));
  for (const auto& [object, name] : {std::pair{secret, "new secret"}, std::pair{data, "new data"},
                                     std::pair{pair.publicKey, "new pair"}, std::pair{pair.privateKey, "new pair"}}) {
    ASSERT_EQ(rename(object, "in between"), CKR_OK);
    ASSERT_EQ(rename(object, name), CKR_OK);
  }
  Template closed{flag(CKA_ENCRYPT, false)};
  ASSERT_EQ(client.f->C_SetAttributeValue(session, secret, closed.data(), closed.size()), CKR_OK);
  EXPECT_EQ(notes(), "9 0 9");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled("new secret"), "1 1 1") << log();
  EXPECT_EQ(labelled("new data"), "1 1 1");
  EXPECT_EQ(labelled("new pair"), "2 2 2");
  for (const char* const old : {"secret", "data", "pair", "in between"}) EXPECT_EQ(labelled(old), "0 0 0") << old;
  EXPECT_EQ(onEach({text(CKA_LABEL, "new secret"), flag(CKA_ENCRYPT, false)}), "1 1 1");
  EXPECT_EQ(find({text(CKA_LABEL, "new secret")}), std::vector{secret});
  EXPECT_EQ(notes(), "0 0 0");
  EXPECT_EQ(logged("gives way"), 0U) << log();
}

// A secret key is known by its name, which then is another everywhere.
TEST_F(GroupResync, WhatAnotherProcessChangedAndBroughtOverIsKnownThere) {
  CK_OBJECT_HANDLE object = 0;
  ASSERT_EQ(createSecret("old", object), CKR_OK);
  ASSERT_TRUE(lose(2));
  Template change{text(CKA_LABEL, "new")};
  for (std::size_t i = 0; i < direct.size(); ++i) {
    const auto there = findOn(i, {text(CKA_LABEL, "old")});
    ASSERT_EQ(there.size(), 1U);
    ASSERT_EQ(softHsm->C_SetAttributeValue(direct[i], there.front(), change.data(), change.size()), CKR_OK);
  }
  ASSERT_TRUE(recover(2));
  EXPECT_EQ(labelled("new"), "1 1 1");
  ASSERT_EQ(destroy(object), CKR_OK);
  EXPECT_EQ(labelled("new"), "0 0 0");
}

TEST_F(GroupResync, WhatWasRenamedAndThenDestroyedIsKnownByItsOldName) {
  CK_OBJECT_HANDLE secret = 0;
  ASSERT_EQ(generateAes(absent, secret), CKR_OK);
  ASSERT_TRUE(lose(1));
  ASSERT_EQ(rename(secret, "renamed"), CKR_OK);
  ASSERT_EQ(destroy(secret), CKR_OK);
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
  EXPECT_EQ(notes(), "0 0 0");
}

/// Two applications on either side of a partition: here the one after the other.
class GroupConflict : public GroupResync {
 protected:
  void make() {
    CK_OBJECT_HANDLE made = 0;
    ASSERT_EQ(createSecret(absent, made), CKR_OK);
    ASSERT_EQ(createData(absent, made), CKR_OK);
  }
  /// All of that label.
  CK_RV each(const std::string& name, const std::function<CK_RV(CK_OBJECT_HANDLE)>& change) const {
    for (const CK_OBJECT_HANDLE object : find({text(CKA_LABEL, name)})) {
      if (const CK_RV rv = change(object); rv != CKR_OK) return rv;
    }
    return CKR_OK;
  }
  bool onlyOneIsThere() { return lose(0) && lose(2); }
  bool onlyTheOthersAreThere() { return loseLast(1) && recover(0) && recover(2); }
};

TEST_F(GroupConflict, OfTwoChangesTheLaterCountsAndTheOtherIsLogged) {
  ASSERT_NO_FATAL_FAILURE(make());
  ASSERT_TRUE(onlyOneIsThere());
  ASSERT_EQ(each(absent, [&](CK_OBJECT_HANDLE object) { return rename(object, "earlier"); }), CKR_OK);
  ASSERT_TRUE(onlyTheOthersAreThere());
  ASSERT_EQ(each(absent, [&](CK_OBJECT_HANDLE object) { return rename(object, "later"); }), CKR_OK);
  EXPECT_EQ(labelled("later"), "2 0 2");
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled("later"), "2 2 2") << log();
  EXPECT_EQ(labelled("earlier"), "0 0 0");
  EXPECT_EQ(logged("while they were apart: CKA_LABEL of member " + store.serial(1) + " gives way"), 2U) << log();
  EXPECT_EQ(notes(), "0 0 0");
  EXPECT_EQ(find({text(CKA_LABEL, "later")}).size(), 2U);
}

TEST_F(GroupConflict, ADestructionBeatsAChange) {
  ASSERT_NO_FATAL_FAILURE(make());
  ASSERT_TRUE(onlyOneIsThere());
  ASSERT_EQ(each(absent, [&](CK_OBJECT_HANDLE object) { return destroy(object); }), CKR_OK);
  ASSERT_TRUE(onlyTheOthersAreThere());
  ASSERT_EQ(each(absent, [&](CK_OBJECT_HANDLE object) { return rename(object, "renamed"); }), CKR_OK);
  ASSERT_TRUE(recover(1));
  EXPECT_EQ(labelled(absent), "0 0 0") << log();
  EXPECT_EQ(labelled("renamed"), "0 0 0") << log();
  EXPECT_EQ(notes(), "0 0 0");
}

TEST_F(GroupConflict, WhatBothSidesMadeStays) {
  CK_OBJECT_HANDLE made = 0;
  ASSERT_TRUE(onlyOneIsThere());
  ASSERT_EQ(createData("here", made), CKR_OK);
  ASSERT_TRUE(onlyTheOthersAreThere());
  ASSERT_EQ(createData("there", made), CKR_OK);
  ASSERT_TRUE(recover(1));
  for (const char* const name : {"here", "there"}) {
    EXPECT_TRUE(await([&] { return labelled(name) == "1 1 1"; }, "each has both")) << log();
  }
}

}  // namespace
}  // namespace p11ha::tests
