// What an application reads of its keys over a group on a cloning domain is what SoftHSM alone would tell it after the
// same calls: at once, after a restart, from another process, and whichever member answers.
#include <algorithm>
#include <map>

#include "base/clock.h"
#include "ha/notes/note.h"
#include "tests/module/group_domain_fixture.h"

namespace p11ha::tests {
namespace {

/// Where keys are made: through the group as token objects, or on SoftHSM itself as session objects.
struct Side {
  CK_FUNCTION_LIST_PTR f;
  CK_SESSION_HANDLE session;
  bool token;
};

/// What a call made, or why it did not.
struct Made {
  CK_RV rv = CKR_OK;
  std::vector<CK_OBJECT_HANDLE> objects;
};

CK_OBJECT_CLASS secretKeyClass = CKO_SECRET_KEY;
CK_KEY_TYPE aesType = CKK_AES;
CK_KEY_TYPE genericType = CKK_GENERIC_SECRET;
CK_DATE startDate{{'2', '0', '2', '6'}, {'0', '1'}, {'0', '2'}};
CK_DATE endDate{{'2', '0', '3', '0'}, {'1', '2'}, {'3', '1'}};
CK_MECHANISM_TYPE allowedMechanisms[] = {CKM_AES_GCM, CKM_AES_CBC_PAD};
CK_ATTRIBUTE wrapTemplate[] = {{CKA_CLASS, &secretKeyClass, sizeof secretKeyClass}};

using Variants = std::vector<std::pair<std::string, Template>>;

Variants variants() {
  return {{"plain", {}},
          {"fixed", {flag(CKA_EXTRACTABLE, false)}},
          {"fixed and sensitive", {flag(CKA_EXTRACTABLE, false), flag(CKA_SENSITIVE)}},
          {"fixed and not sensitive", {flag(CKA_EXTRACTABLE, false), flag(CKA_SENSITIVE, false)}},
          {"open", {flag(CKA_EXTRACTABLE)}},
          {"open and sensitive", {flag(CKA_EXTRACTABLE), flag(CKA_SENSITIVE)}},
          {"open and not sensitive", {flag(CKA_EXTRACTABLE), flag(CKA_SENSITIVE, false)}},
          {"for trusted keys", {flag(CKA_WRAP_WITH_TRUSTED)}},
          {"in the shape of sealed ones", {flag(CKA_EXTRACTABLE), flag(CKA_SENSITIVE), flag(CKA_WRAP_WITH_TRUSTED)}},
          {"public", {flag(CKA_PRIVATE, false), flag(CKA_EXTRACTABLE), flag(CKA_SENSITIVE, false)}},
          {"public and fixed", {flag(CKA_PRIVATE, false), flag(CKA_EXTRACTABLE, false)}},
          {"uncopyable", {flag(CKA_COPYABLE, false)}},
          {"constant", {flag(CKA_MODIFIABLE, false)}},
          {"lasting", {flag(CKA_DESTROYABLE, false)}},
          {"open and lasting", {flag(CKA_EXTRACTABLE), flag(CKA_DESTROYABLE, false)}},
          // Of private objects SoftHSM does not tell the dates.
          {"dated",
           {flag(CKA_PRIVATE, false),
            flag(CKA_EXTRACTABLE),
            flag(CKA_SENSITIVE, false),
            {CKA_START_DATE, &startDate, sizeof startDate},
            {CKA_END_DATE, &endDate, sizeof endDate}}},
          {"restricted", {{CKA_ALLOWED_MECHANISMS, allowedMechanisms, sizeof allowedMechanisms}}},
          {"wrapping", {flag(CKA_WRAP), {CKA_WRAP_TEMPLATE, wrapTemplate, sizeof wrapTemplate}}}};
}

// SENSITIVE is as a token will have it where it is not asked (PKCS #11 v3.0, 4.9 and 4.10): SoftHSM has it false, the
// group true for keys that are to be non-extractable.
Template asked(const Side& side, Template further) {
  const auto says = [&further](CK_ATTRIBUTE_TYPE type, const CK_BBOOL* value) {
    return std::any_of(further.begin(), further.end(), [&](const CK_ATTRIBUTE& each) {
      return each.type == type && (value == nullptr || each.pValue == value);
    });
  };
  const bool sealed = !says(CKA_EXTRACTABLE, &yes) && !says(CKA_PRIVATE, &no) && !says(CKA_SENSITIVE, nullptr);
  if (!side.token && sealed) further.insert(further.begin(), flag(CKA_SENSITIVE));
  return further;
}

Template with(Template first, const Template& further) {
  first.insert(first.end(), further.begin(), further.end());
  return first;
}

Template named(const Side& side, const std::string& label) {
  return {flag(CKA_TOKEN, side.token), text(CKA_LABEL, label), text(CKA_ID, label)};
}

Made generateSecret(const Side& side, CK_MECHANISM_TYPE type, const std::string& label, const Template& further) {
  CK_MECHANISM mechanism{type, nullptr, 0};
  Template wanted = with(named(side, label), {{CKA_VALUE_LEN, &aesLength, sizeof aesLength}});
  if (type == CKM_AES_KEY_GEN) wanted = with(wanted, {flag(CKA_ENCRYPT), flag(CKA_DECRYPT)});
  wanted = with(wanted, asked(side, further));
  Made made{CKR_OK, {0}};
  made.rv = side.f->C_GenerateKey(side.session, &mechanism, wanted.data(), wanted.size(), made.objects.data());
  return made;
}

Made generatePair(const Side& side, CK_MECHANISM_TYPE type, const std::string& label, const Template& further) {
  CK_MECHANISM mechanism{type, nullptr, 0};
  Template publicKey = named(side, label);
  Template privateKey = named(side, label);
  if (type == CKM_RSA_PKCS_KEY_PAIR_GEN) {
    publicKey = with(publicKey, {flag(CKA_VERIFY),
                                 {CKA_MODULUS_BITS, &rsaBits, sizeof rsaBits},
                                 {CKA_PUBLIC_EXPONENT, rsaExponent, sizeof rsaExponent}});
    privateKey = with(privateKey, {flag(CKA_SIGN)});
  } else {
    publicKey = with(publicKey, {{CKA_EC_PARAMS, p256, sizeof p256}});
    privateKey = with(privateKey, {flag(CKA_DERIVE)});
  }
  privateKey = with(privateKey, asked(side, further));
  Made made{CKR_OK, {0, 0}};
  made.rv = side.f->C_GenerateKeyPair(side.session, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                      privateKey.size(), &made.objects[1], made.objects.data());
  return made;
}

Template given(const Side& side, const std::string& label, CK_KEY_TYPE& type) {
  return with({{CKA_CLASS, &secretKeyClass, sizeof secretKeyClass}, {CKA_KEY_TYPE, &type, sizeof type}},
              named(side, label));
}

Made create(const Side& side, const std::string& label, const Template& further) {
  // Another one each time, so that they can be told from each other.
  Bytes value(32, 5);
  std::copy_n(label.begin(), std::min(label.size(), value.size()), value.begin());
  Template wanted =
      with(with(given(side, label, aesType), {{CKA_VALUE, value.data(), value.size()}}), asked(side, further));
  Made made{CKR_OK, {0}};
  made.rv = side.f->C_CreateObject(side.session, wanted.data(), wanted.size(), made.objects.data());
  return made;
}

Made unwrap(const Side& side, const std::string& label, const Template& further) {
  const Made wrapping = create(side, label + ", its wrapping key", {flag(CKA_WRAP), flag(CKA_UNWRAP)});
  const Made wrapped = create(side, label + ", before it was wrapped", {flag(CKA_EXTRACTABLE)});
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  Bytes bytes(100);
  CK_ULONG size = bytes.size();
  EXPECT_EQ(side.f->C_WrapKey(side.session, &mechanism, wrapping.objects[0], wrapped.objects[0], bytes.data(), &size),
            CKR_OK);
  Template wanted = with(given(side, label, aesType), asked(side, further));
  Made made{CKR_OK, {0}};
  made.rv = side.f->C_UnwrapKey(side.session, &mechanism, wrapping.objects[0], bytes.data(), size, wanted.data(),
                                wanted.size(), made.objects.data());
  return made;
}

Made derive(const Side& side, const std::string& label, const Template& base, const Template& further) {
  Made pair = generatePair(side, CKM_EC_KEY_PAIR_GEN, label + ", its base", base);
  if (pair.rv != CKR_OK) return pair;
  Bytes point(100);
  CK_ATTRIBUTE read{CKA_EC_POINT, point.data(), point.size()};
  EXPECT_EQ(side.f->C_GetAttributeValue(side.session, pair.objects[1], &read, 1), CKR_OK);
  CK_ECDH1_DERIVE_PARAMS parameters{CKD_NULL, 0, nullptr, read.ulValueLen, point.data()};
  CK_MECHANISM mechanism{CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
  Template wanted = with(with(given(side, label, genericType), {{CKA_VALUE_LEN, &aesLength, sizeof aesLength}}),
                         asked(side, further));
  Made made{CKR_OK, {0}};
  made.rv =
      side.f->C_DeriveKey(side.session, &mechanism, pair.objects[0], wanted.data(), wanted.size(), made.objects.data());
  return made;
}

Made copy(const Side& side, const std::string& label, const Made& from, const Template& changes) {
  if (from.rv != CKR_OK) return from;
  Template wanted = with({text(CKA_LABEL, label), text(CKA_ID, label)}, changes);
  Made made{CKR_OK, {0}};
  made.rv = side.f->C_CopyObject(side.session, from.objects[0], wanted.data(), wanted.size(), made.objects.data());
  return made;
}

Made change(const Side& side, Made from, Template changes) {
  if (from.rv != CKR_OK) return from;
  from.rv = side.f->C_SetAttributeValue(side.session, from.objects[0], changes.data(), changes.size());
  return from;
}

struct Way {
  std::string name;
  std::function<Made(const Side&, const std::string&)> make;
};

const std::vector<std::pair<CK_ATTRIBUTE_TYPE, std::string>> kRead = {
    {CKA_CLASS, "CLASS"},
    {CKA_PRIVATE, "PRIVATE"},
    {CKA_SENSITIVE, "SENSITIVE"},
    {CKA_EXTRACTABLE, "EXTRACTABLE"},
    {CKA_ALWAYS_SENSITIVE, "ALWAYS_SENSITIVE"},
    {CKA_NEVER_EXTRACTABLE, "NEVER_EXTRACTABLE"},
    {CKA_LOCAL, "LOCAL"},
    {CKA_KEY_GEN_MECHANISM, "KEY_GEN_MECHANISM"},
    {CKA_WRAP_WITH_TRUSTED, "WRAP_WITH_TRUSTED"},
    {CKA_MODIFIABLE, "MODIFIABLE"},
    {CKA_COPYABLE, "COPYABLE"},
    {CKA_DESTROYABLE, "DESTROYABLE"},
    {CKA_START_DATE, "START_DATE"},
    {CKA_END_DATE, "END_DATE"},
    {CKA_ALLOWED_MECHANISMS, "ALLOWED_MECHANISMS"},
    {CKA_ENCRYPT, "ENCRYPT"},
    {CKA_SIGN, "SIGN"},
    {CKA_WRAP, "WRAP"},
    {CKA_DERIVE, "DERIVE"},
    {CKA_TRUSTED, "TRUSTED"},
    {CKA_VALUE_LEN, "VALUE_LEN"},
};

std::string told(const Side& side, CK_OBJECT_HANDLE object) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string all;
  const auto add = [&](const std::string& name, CK_RV rv, const CK_ATTRIBUTE& read) {
    all += "  " + name + " ";
    if (rv != CKR_OK || read.ulValueLen == CK_UNAVAILABLE_INFORMATION) {
      all += "answered " + std::to_string(rv);
    } else if (read.pValue == nullptr) {
      all += "of " + std::to_string(read.ulValueLen) + " bytes";
    } else {
      const auto* const bytes = static_cast<const CK_BYTE*>(read.pValue);
      for (CK_ULONG i = 0; i < read.ulValueLen; ++i) (all += kDigits[bytes[i] >> 4]) += kDigits[bytes[i] & 15];
    }
    all += "\n";
  };
  for (const auto& [type, name] : kRead) {
    Bytes room(256);
    CK_ATTRIBUTE read{type, room.data(), room.size()};
    const CK_RV rv = side.f->C_GetAttributeValue(side.session, object, &read, 1);
    add(name, rv, read);
  }
  for (const auto& [type, name] :
       {std::pair{CKA_WRAP_TEMPLATE, "WRAP_TEMPLATE"}, {CKA_UNWRAP_TEMPLATE, "UNWRAP_TEMPLATE"}}) {
    CK_ATTRIBUTE read{type, nullptr, 0};
    const CK_RV rv = side.f->C_GetAttributeValue(side.session, object, &read, 1);
    add(name, rv, read);
  }
  return all;
}

std::string told(const Side& side, const Made& made) {
  std::string all = "answered " + std::to_string(made.rv) + "\n";
  if (made.rv != CKR_OK) return all;
  for (const CK_OBJECT_HANDLE object : made.objects) all += told(side, object);
  return all;
}

class GroupTruth : public GroupDomain {
 protected:
  Side group() const { return {reinterpret_cast<CK_FUNCTION_LIST_PTR>(client.f), session, true}; }
  Side alone() const { return {softHsm, direct.front(), false}; }

  void make(const std::vector<Way>& ways) {
    for (const Way& way : ways) {
      const Made reference = way.make(alone(), way.name);
      const Made made = way.make(group(), way.name);
      expected_[way.name] = told(alone(), reference);
      EXPECT_EQ(told(group(), made), expected_[way.name]) << way.name;
      if (made.rv != CKR_OK) continue;
      classes_[way.name].clear();
      for (const CK_OBJECT_HANDLE object : made.objects) classes_[way.name].push_back(classOf(object));
    }
  }
  /// By their names, as anybody finds them who did not make them.
  void expectTold(const std::string& when, bool onOneMemberOnly = false) {
    for (const auto& [name, classes] : classes_) {
      // It stays on the member that made it.
      if (onOneMemberOnly && name.ends_with("public and fixed")) continue;
      Made made;
      for (CK_OBJECT_CLASS objectClass : classes) {
        const auto found = find({text(CKA_LABEL, name), ofClass(objectClass)});
        ASSERT_EQ(found.size(), 1U) << name << " " << when;
        made.objects.push_back(found.front());
      }
      EXPECT_EQ(told(group(), made), expected_[name]) << name << " " << when;
    }
  }
  /// A search by what is read of a key finds it, and one by anything else does not.
  void expectFound() const {
    for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED, CKA_ALWAYS_SENSITIVE,
                                         CKA_NEVER_EXTRACTABLE, CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_VALUE_LEN}) {
      std::map<Bytes, std::vector<CK_OBJECT_HANDLE>> read;
      for (const CK_OBJECT_HANDLE object : find({})) {
        Bytes value(sizeof(CK_ULONG));
        CK_ATTRIBUTE attribute{type, value.data(), value.size()};
        if (client.f->C_GetAttributeValue(session, object, &attribute, 1) != CKR_OK) continue;
        value.resize(attribute.ulValueLen);
        read[value].push_back(object);
      }
      EXPECT_FALSE(read.empty()) << type;
      for (auto& [value, objects] : read) {
        Bytes same = value;
        auto found = find({{type, same.data(), same.size()}});
        std::sort(found.begin(), found.end());
        std::sort(objects.begin(), objects.end());
        EXPECT_EQ(found, objects) << "by " << type;
      }
    }
  }
  void restart() {
    ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
    ASSERT_EQ(client.login(session), CKR_OK);
  }
  /// The members' own sessions, which a restart has ended.
  void lookBehind() {
    for (std::size_t i = 0; i < direct.size(); ++i) {
      ASSERT_EQ(softHsm->C_OpenSession(slotOnSoftHsm(store.serial(i)), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr,
                                       nullptr, &direct[i]),
                CKR_OK);
    }
  }
  void expectToldByEachAlone() {
    for (std::size_t i = 0; i < 3; ++i) {
      const std::size_t back = logged("succeeded for member");
      for (std::size_t k = 0; k < 3; ++k) {
        if (k != i) fail(k);
      }
      expectTold("on member " + std::to_string(i) + " alone", true);
      for (std::size_t k = 0; k < 3; ++k) {
        if (k != i) heal(k);
      }
      // A member that no call went to was never missed.
      await([&] { return logged("succeeded for member") - back >= logged("has dropped member") - back; }, "members");
    }
  }

  /// What is told of these is the same now and after a restart.
  void expectTruth(const std::vector<Way>& ways) {
    make(ways);
    expectTold("at once");
    restart();
    expectTold("after a restart");
  }
  /// And so it is by a search, and whichever member answers.
  void expectTruthEverywhere(const std::vector<Way>& ways) {
    expectTruth(ways);
    expectFound();
    expectToldByEachAlone();
  }
  std::string lengthsOf(const std::vector<CK_OBJECT_HANDLE>& keys) const {
    std::string all;
    for (const CK_OBJECT_HANDLE key : keys) {
      CK_ULONG length = 0;
      CK_ATTRIBUTE attribute{CKA_VALUE_LEN, &length, sizeof length};
      EXPECT_EQ(client.f->C_GetAttributeValue(session, key, &attribute, 1), CKR_OK);
      all += std::to_string(length) + " ";
    }
    return all;
  }
  /// CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE.
  std::string origin(CK_OBJECT_HANDLE key) const {
    return read(key, {CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE});
  }

 private:
  CK_OBJECT_CLASS classOf(CK_OBJECT_HANDLE object) const {
    CK_OBJECT_CLASS objectClass = 0;
    CK_ATTRIBUTE read{CKA_CLASS, &objectClass, sizeof objectClass};
    EXPECT_EQ(client.f->C_GetAttributeValue(session, object, &read, 1), CKR_OK);
    return objectClass;
  }
  std::map<std::string, std::string> expected_;
  std::map<std::string, std::vector<CK_OBJECT_CLASS>> classes_;
};

TEST_F(GroupTruth, OfGeneratedKeysIsThatOfOneToken) {
  std::vector<Way> ways;
  for (const auto& [name, further] : variants()) {
    ways.push_back({"aes " + name, [further = further](const Side& side, const std::string& label) {
                      return generateSecret(side, CKM_AES_KEY_GEN, label, further);
                    }});
    // Mechanisms of other keys leave nothing to prove by that it is the same key.
    if (name == "wrapping" || name == "restricted") continue;
    ways.push_back({"ec " + name, [further = further](const Side& side, const std::string& label) {
                      return generatePair(side, CKM_EC_KEY_PAIR_GEN, label, further);
                    }});
  }
  for (const char* const name : {"plain", "open", "fixed and not sensitive"}) {
    for (const auto& [variant, further] : variants()) {
      if (variant != name) continue;
      ways.push_back({"rsa " + variant, [further = further](const Side& side, const std::string& label) {
                        return generatePair(side, CKM_RSA_PKCS_KEY_PAIR_GEN, label, further);
                      }});
      ways.push_back({"generic " + variant, [further = further](const Side& side, const std::string& label) {
                        return generateSecret(side, CKM_GENERIC_SECRET_KEY_GEN, label, further);
                      }});
    }
  }
  expectTruthEverywhere(ways);
}

TEST_F(GroupTruth, OfKeysThatWereGivenIsThatOfOneToken) {
  std::vector<Way> ways;
  for (const auto& [name, further] : variants()) {
    ways.push_back({"created " + name, [further = further](const Side& side, const std::string& label) {
                      return create(side, label, further);
                    }});
    ways.push_back({"unwrapped " + name, [further = further](const Side& side, const std::string& label) {
                      return unwrap(side, label, further);
                    }});
  }
  expectTruthEverywhere(ways);
}

TEST_F(GroupTruth, OfDerivedKeysIsThatOfOneToken) {
  std::vector<Way> ways;
  const Variants all = variants();
  for (const std::size_t base : {1U, 3U, 5U, 6U}) {
    for (std::size_t derived = 0; derived < 7; ++derived) {
      ways.push_back({all[derived].first + " from " + all[base].first,
                      [&all, base, derived](const Side& side, const std::string& label) {
                        return derive(side, label, all[base].second, all[derived].second);
                      }});
    }
  }
  expectTruthEverywhere(ways);
}

// Of some, p11ha asks the first member before it tells the others.
TEST_F(GroupTruth, DerivedKeysAreOnEveryMemberAtOnce) {
  const Variants all = variants();
  for (const auto& [name, further] : all) {
    if (name == "dated" || name == "wrapping" || name == "restricted") continue;
    for (const std::size_t base : {1U, 5U}) {
      const std::string label = name + " from " + all[base].first;
      if (derive(group(), label, all[base].second, further).rv != CKR_OK) continue;
      EXPECT_EQ(onEach({text(CKA_LABEL, label)}), "1 1 1") << label;
    }
  }
  EXPECT_EQ(logged("not in sync"), 0U) << log();
}

TEST_F(GroupTruth, OfCopiesAndOfWhatWasChangedIsThatOfOneToken) {
  std::vector<Way> ways;
  const Variants changes = {{"fixed", {flag(CKA_EXTRACTABLE, false)}},
                            {"widened", {flag(CKA_EXTRACTABLE)}},
                            {"sensitive", {flag(CKA_SENSITIVE)}},
                            {"not sensitive", {flag(CKA_SENSITIVE, false)}},
                            {"used", {flag(CKA_ENCRYPT)}}};
  for (const auto& [name, further] : variants()) {
    if (name == "wrapping" || name == "dated" || name == "restricted" || name == "lasting") continue;
    const bool fixed = name != "public" && !name.starts_with("open") && !name.starts_with("in the shape");
    for (const auto& [changed, to] : changes) {
      // What is so already the group takes where SoftHSM refuses it; of two reasons to refuse it gives another.
      if (fixed && changed == "fixed") continue;
      if (changed == "widened" && (name == "constant" || name == "uncopyable")) continue;
      const std::string aes = std::string("aes ").append(name).append(", ");
      ways.push_back({std::string(aes).append("copied, ").append(changed),
                      [further = further, to = to](const Side& side, const std::string& label) {
                        return copy(side, label,
                                    generateSecret(side, CKM_AES_KEY_GEN, label + ", its original", further), to);
                      }});
      ways.push_back({aes + changed, [further = further, to = to](const Side& side, const std::string& label) {
                        return change(side, generateSecret(side, CKM_AES_KEY_GEN, label, further), to);
                      }});
    }
  }
  expectTruth(ways);
}

TEST_F(GroupTruth, FollowsAKeyToItsNewNameAndGoesWithIt) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes("old", key), CKR_OK);
  const Template records{text(CKA_APPLICATION, "p11ha"), text(CKA_LABEL, "p11ha record")};
  EXPECT_EQ(onEach(records), "1 1 1");
  ASSERT_EQ(set(key, {text(CKA_LABEL, "new"), text(CKA_ID, "newer")}), CKR_OK);
  EXPECT_EQ(onEach(records), "1 1 1");
  restart();
  key = find({text(CKA_LABEL, "new")}).at(0);
  EXPECT_EQ(origin(key), "111");
  EXPECT_TRUE(find(records).empty());
  ASSERT_EQ(client.f->C_DestroyObject(session, key), CKR_OK);
  restart();
  EXPECT_TRUE(find({}).empty());
  lookBehind();
  EXPECT_EQ(onEach(records), "0 0 0");
}

TEST_F(GroupTruth, ComesWithAKeyToAMemberThatWasAway) {
  ASSERT_TRUE(lose(2));
  CK_OBJECT_HANDLE key = 0;
  Pair open;
  ASSERT_EQ(generateAes("aes", key), CKR_OK);
  const Made given = create(group(), "given", {flag(CKA_EXTRACTABLE), flag(CKA_SENSITIVE)});
  ASSERT_EQ(given.rv, CKR_OK);
  ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "open", open), CKR_OK);
  // Made past the group, where the others do not have it: what it is there it is everywhere.
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  Template wanted{flag(CKA_TOKEN),
                  flag(CKA_EXTRACTABLE),
                  flag(CKA_SENSITIVE),
                  text(CKA_LABEL, "past"),
                  {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
  CK_OBJECT_HANDLE past = 0;
  ASSERT_EQ(softHsm->C_GenerateKey(direct[0], &mechanism, wanted.data(), wanted.size(), &past), CKR_OK);
  ASSERT_EQ(find({text(CKA_LABEL, "past")}).size(), 1U);
  ASSERT_TRUE(recover(2));
  // One for each key, two for the pair.
  EXPECT_EQ(findOn(2, {text(CKA_LABEL, "p11ha record")}).size(), 5U);
  fail(0);
  fail(1);
  EXPECT_EQ(origin(key), "111");
  EXPECT_EQ(origin(open.privateKey), "110");
  EXPECT_EQ(read(open.publicKey, {CKA_LOCAL}), "1");
  const CK_OBJECT_HANDLE pastNow = find({text(CKA_LABEL, "past")}).at(0);
  EXPECT_EQ(origin(pastNow), "110");
  EXPECT_EQ(lengthsOf({key, given.objects[0], pastNow}), "32 32 32 ");
  EXPECT_EQ(find({{CKA_VALUE_LEN, &aesLength, sizeof aesLength}}).size(), 3U);
}

TEST_F(GroupTruth, OfSessionKeysIsOnNoMember) {
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  Template wanted{{CKA_VALUE_LEN, &aesLength, sizeof aesLength}, text(CKA_LABEL, "passing")};
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(client.f->C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &key), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, "passing")}), "1 1 1");
  EXPECT_EQ(onEach({text(CKA_LABEL, "p11ha record")}), "0 0 0");
  EXPECT_EQ(origin(key), "111");
  fail(0);
  EXPECT_EQ(origin(key), "111");
  // One that outlives the session takes its truth along.
  Template lasting{flag(CKA_TOKEN)};
  CK_OBJECT_HANDLE copied = 0;
  ASSERT_EQ(client.f->C_CopyObject(session, key, lasting.data(), lasting.size(), &copied), CKR_OK);
  EXPECT_EQ(origin(copied), "111");
  EXPECT_EQ(onEach({text(CKA_LABEL, "p11ha record")}), "0 1 1");
}

TEST_F(GroupTruth, IsReadByAnotherProcess) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes("key", key, {flag(CKA_SENSITIVE)}), CKR_OK);
  const Ran seen =
      runCommandLine("pkcs11-tool --module " + kGroupModule + " --login --pin " + store.pin() + " --list-objects 2>&1");
  EXPECT_NE(seen.text.find("sensitive, always sensitive, never extract"), std::string::npos) << seen.text;
  EXPECT_NE(seen.text.find(", local"), std::string::npos) << seen.text;
  EXPECT_EQ(countOf(seen.text, "Object;"), 1U) << seen.text;
}

TEST_F(GroupTruth, NobodyMakesWhatWouldVanish) {
  CK_OBJECT_CLASS data = CKO_DATA;
  CK_OBJECT_HANDLE object = 0;
  Template note{ofClass(data), flag(CKA_TOKEN), text(CKA_APPLICATION, "p11ha")};
  EXPECT_EQ(client.f->C_CreateObject(session, note.data(), note.size(), &object), CKR_ATTRIBUTE_VALUE_INVALID);
  note[2] = text(CKA_APPLICATION, "p11ha-like");
  ASSERT_EQ(client.f->C_CreateObject(session, note.data(), note.size(), &object), CKR_OK);
  EXPECT_EQ(set(object, {text(CKA_APPLICATION, "p11ha")}), CKR_ATTRIBUTE_VALUE_INVALID);
  Template changes{text(CKA_APPLICATION, "p11ha")};
  CK_OBJECT_HANDLE copied = 0;
  EXPECT_EQ(client.f->C_CopyObject(session, object, changes.data(), changes.size(), &copied),
            CKR_ATTRIBUTE_VALUE_INVALID);
  EXPECT_EQ(find({ofClass(data)}), std::vector{object});
}

TEST_F(GroupTruth, OldRecordsOfNoKeyAreSwept) {
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(generateAes("aes", key), CKR_OK);
  const auto plant = [&](const std::string& group, const std::string& label, std::uint64_t at) {
    ha::notes::Subject about{CKO_SECRET_KEY, CKK_AES, true, {label.begin(), label.end()}, {}, {}, {}, {}};
    const auto value = ha::notes::encode({group, ha::notes::Record{about, {}, at}});
    CK_OBJECT_CLASS data = CKO_DATA;
    Template wanted{ofClass(data),          flag(CKA_TOKEN),
                    flag(CKA_PRIVATE),      text(CKA_APPLICATION, "p11ha"),
                    text(CKA_LABEL, label), {CKA_VALUE, const_cast<std::uint8_t*>(value.data()), value.size()}};
    CK_OBJECT_HANDLE made = 0;
    EXPECT_EQ(softHsm->C_CreateObject(direct[2], wanted.data(), wanted.size(), &made), CKR_OK);
  };
  const base::Wall now = std::chrono::system_clock::now();
  plant("1000", "old", base::milliseconds(now - std::chrono::hours(1)));
  plant("1000", "young", base::milliseconds(now));
  plant("2000", "another group's", base::milliseconds(now - std::chrono::hours(1)));
  ASSERT_TRUE(lose(2));
  ASSERT_TRUE(recover(2));
  ASSERT_TRUE(await([&] { return findOn(2, {text(CKA_LABEL, "old")}).empty(); }, "the sweep"));
  EXPECT_EQ(onEach({text(CKA_LABEL, "young")}), "0 0 1");
  EXPECT_EQ(onEach({text(CKA_LABEL, "another group's")}), "0 0 1");
  EXPECT_EQ(onEach({text(CKA_LABEL, "p11ha record")}), "1 1 1");
}

}  // namespace
}  // namespace p11ha::tests
