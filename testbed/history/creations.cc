#include "testbed/history/operations.h"
#include "testbed/history/proof.h"

namespace p11ha::history {
namespace {

constexpr std::size_t kKeySize = 32;
Attributes objectOf(CK_OBJECT_CLASS objectClass, const std::string& name, bool isPrivate) {
  return {{CKA_CLASS, ofUlong(objectClass)},
          {CKA_TOKEN, ofBool(true)},
          {CKA_PRIVATE, ofBool(isPrivate)},
          {CKA_LABEL, ofText(name)}};
}

// What the class and the members say of a key in a template of its own.
Attributes keyOf(Workspace& work, CK_OBJECT_CLASS objectClass, CK_KEY_TYPE type, const std::string& name) {
  Attributes key = objectOf(objectClass, name, objectClass != CKO_PUBLIC_KEY);
  key[CKA_KEY_TYPE] = ofUlong(type);
  key[CKA_ID] = work.bytes(kIdSize);
  if (objectClass == CKO_PUBLIC_KEY) return key;
  const bool extractable = !work.options().sealed || work.oneIn(2);
  key[CKA_EXTRACTABLE] = ofBool(extractable);
  key[CKA_SENSITIVE] = ofBool(!extractable || !work.oneIn(4));
  return key;
}

Attributes aesKey(Workspace& work, const std::string& name) {
  Attributes key = keyOf(work, CKO_SECRET_KEY, CKK_AES, name);
  for (const CK_ATTRIBUTE_TYPE use : {CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP}) key[use] = ofBool(true);
  key[CKA_DERIVE] = ofBool(work.oneIn(2));
  return key;
}

// With that value, of which the journal says only how the key is known by it.
bool create(Workspace& work, Attributes object, const Attributes& value) {
  const ObjectKey key{textOf(object, CKA_LABEL), ulongOf(object, CKA_CLASS)};
  Line line = effect("make", key);
  line.put(object);
  if (key.objectClass == CKO_SECRET_KEY) {
    line.putBytes("proof", proofOfValue(ulongOf(object, CKA_KEY_TYPE), value.at(CKA_VALUE)));
  } else {
    line.put(value);
  }
  object.insert(value.begin(), value.end());
  auto list = templateOf(object);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const CK_RV rv = work.call("create", {line}, [&] {
    return work.token().functions().C_CreateObject(work.token().session(), list.data(), list.size(), &handle);
  });
  if (rv == CKR_OK) work.keep(key, handle);
  if (rv == CKR_OK && key.objectClass == CKO_SECRET_KEY) work.see(key, handle, {});
  return true;
}

bool createAny(Workspace& work) {
  const std::string name = work.newName();
  switch (work.below(6)) {
    case 0: {
      Attributes key = aesKey(work, name);
      return create(work, key, {{CKA_VALUE, work.bytes(kKeySize)}});
    }
    case 1: {
      Attributes key = keyOf(work, CKO_SECRET_KEY, CKK_GENERIC_SECRET, name);
      key[CKA_SIGN] = key[CKA_VERIFY] = ofBool(true);
      return create(work, key, {{CKA_VALUE, work.bytes(kKeySize)}});
    }
    case 2: {
      Attributes certificate = objectOf(CKO_CERTIFICATE, name, false);
      certificate[CKA_CERTIFICATE_TYPE] = ofUlong(CKC_X_509);
      certificate[CKA_ID] = work.bytes(kIdSize);
      certificate[CKA_SUBJECT] = work.bytes(20);
      return create(work, certificate, {{CKA_VALUE, work.bytes(300 + work.below(500))}});
    }
    case 3: {
      Attributes key = keyOf(work, CKO_PUBLIC_KEY, CKK_EC, name);
      key[CKA_VERIFY] = ofBool(true);
      return create(work, key, {{CKA_EC_PARAMS, p256()}, {CKA_EC_POINT, newPoint()}});
    }
    default: {
      Attributes data = objectOf(CKO_DATA, name, work.oneIn(2));
      data[CKA_APPLICATION] = ofText("history");
      return create(work, data, {{CKA_VALUE, work.bytes(1 + work.below(200))}});
    }
  }
}

bool generate(Workspace& work) {
  Attributes key = aesKey(work, work.newName());
  key[CKA_VALUE_LEN] = ofUlong(kKeySize);
  const ObjectKey named{textOf(key, CKA_LABEL), CKO_SECRET_KEY};
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  auto list = templateOf(key);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const CK_RV rv = work.call("generate", {effect("make", named).put(key)}, [&] {
    return work.token().functions().C_GenerateKey(work.token().session(), &mechanism, list.data(), list.size(),
                                                  &handle);
  });
  if (rv != CKR_OK) return true;
  work.keep(named, handle);
  work.see(named, handle, {});
  return true;
}

bool generatePair(Workspace& work) {
  const std::string name = work.newName();
  const bool rsa = work.oneIn(25);
  const CK_KEY_TYPE type = rsa ? CKK_RSA : CKK_EC;
  Attributes privateKey = keyOf(work, CKO_PRIVATE_KEY, type, name);
  Attributes publicKey = keyOf(work, CKO_PUBLIC_KEY, type, name);
  publicKey[CKA_ID] = privateKey[CKA_ID];
  privateKey[CKA_SIGN] = publicKey[CKA_VERIFY] = ofBool(true);
  if (rsa) {
    publicKey[CKA_MODULUS_BITS] = ofUlong(2048);
    publicKey[CKA_PUBLIC_EXPONENT] = {1, 0, 1};
  } else {
    publicKey[CKA_EC_PARAMS] = p256();
  }
  const ObjectKey privateName{name, CKO_PRIVATE_KEY};
  const ObjectKey publicName{name, CKO_PUBLIC_KEY};
  CK_MECHANISM mechanism{rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, nullptr, 0};
  auto privateList = templateOf(privateKey);
  auto publicList = templateOf(publicKey);
  CK_OBJECT_HANDLE privateHandle = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE publicHandle = CK_INVALID_HANDLE;
  const CK_RV rv =
      work.call("pair", {effect("make", publicName).put(publicKey), effect("make", privateName).put(privateKey)}, [&] {
        return work.token().functions().C_GenerateKeyPair(work.token().session(), &mechanism, publicList.data(),
                                                          publicList.size(), privateList.data(), privateList.size(),
                                                          &publicHandle, &privateHandle);
      });
  if (rv != CKR_OK) return true;
  work.keep(publicName, publicHandle);
  work.keep(privateName, privateHandle);
  static constexpr CK_ATTRIBUTE_TYPE kParts[] = {CKA_EC_POINT, CKA_MODULUS, CKA_PUBLIC_EXPONENT};
  const Attributes parts = publicParts(work.token().read(publicHandle, kParts));
  work.see(publicName, publicHandle, parts);
  work.see(privateName, privateHandle, parts);
  return true;
}

bool isAes(const ObjectKey& key, const ObjectStory& object) {
  return key.objectClass == CKO_SECRET_KEY && ulongOf(object.asked, CKA_KEY_TYPE) == CKK_AES;
}

// A key that the application wraps and takes back as another one.
bool unwrap(Workspace& work) {
  const auto with = work.pick(Workspace::Whose::OwnAlone, isAes);
  const auto what = work.pick(Workspace::Whose::OwnAlone, [](const ObjectKey& key, const ObjectStory& object) {
    return isAes(key, object) && isTrue(object.asked, CKA_EXTRACTABLE);
  });
  if (!with || !what) return false;
  const auto wrapping = work.handleOf(*with);
  const auto wrapped = work.handleOf(*what);
  if (!wrapping || !wrapped) return false;
  const auto& f = work.token().functions();
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  Bytes blob(256);
  CK_ULONG size = blob.size();
  if (f.C_WrapKey(work.token().session(), &mechanism, *wrapping, *wrapped, blob.data(), &size) != CKR_OK) return false;
  Attributes key = aesKey(work, work.newName());
  const ObjectKey named{textOf(key, CKA_LABEL), CKO_SECRET_KEY};
  Line line = effect("make", named);
  line.put(key).putBytes("proof", work.story().objects().at(*what).proof);
  auto list = templateOf(key);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const CK_RV rv = work.call("unwrap", {line}, [&] {
    return f.C_UnwrapKey(work.token().session(), &mechanism, *wrapping, blob.data(), size, list.data(), list.size(),
                         &handle);
  });
  if (rv != CKR_OK) return true;
  work.keep(named, handle);
  work.see(named, handle, {});
  return true;
}

bool derive(Workspace& work) {
  const auto from = work.pick(Workspace::Whose::OwnAlone, [](const ObjectKey& key, const ObjectStory& object) {
    return isAes(key, object) && isTrue(object.asked, CKA_DERIVE);
  });
  if (!from) return false;
  const auto base = work.handleOf(*from);
  if (!base) return false;
  Attributes key = aesKey(work, work.newName());
  key[CKA_VALUE_LEN] = ofUlong(kKeySize);
  const ObjectKey named{textOf(key, CKA_LABEL), CKO_SECRET_KEY};
  Bytes data = work.bytes(kKeySize);
  CK_KEY_DERIVATION_STRING_DATA parameter{data.data(), data.size()};
  CK_MECHANISM mechanism{CKM_AES_ECB_ENCRYPT_DATA, &parameter, sizeof parameter};
  auto list = templateOf(key);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const CK_RV rv = work.call("derive", {effect("make", named).put(key)}, [&] {
    return work.token().functions().C_DeriveKey(work.token().session(), &mechanism, *base, list.data(), list.size(),
                                                &handle);
  });
  if (rv != CKR_OK) return true;
  work.keep(named, handle);
  work.see(named, handle, {});
  return true;
}

// As the object is now; nothing where that is not certain.
std::optional<Attributes> now(const Story& story, const ObjectStory& object) {
  Attributes attributes;
  for (const auto& [type, asked] : object.asked) {
    const auto possible = story.possible(object, type);
    if (possible.size() != 1) return std::nullopt;
    attributes[type] = possible.front();
  }
  return attributes;
}

bool copy(Workspace& work) {
  const auto from = work.pick(Workspace::Whose::OwnAlone, [&](const ObjectKey&, const ObjectStory& object) {
    return now(work.story(), object).has_value();
  });
  if (!from) return false;
  const auto source = work.handleOf(*from);
  if (!source) return false;
  const ObjectStory& original = work.story().objects().at(*from);
  const ObjectKey named{work.newName(), from->objectClass};
  Attributes expected = *now(work.story(), original);
  expected[CKA_LABEL] = ofText(named.name);
  Line line = effect("make", named);
  line.put(expected).put(original.publicKey, 'p').putBytes("proof", original.proof);
  Attributes changed{{CKA_LABEL, ofText(named.name)}};
  auto list = templateOf(changed);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const CK_RV rv = work.call("copy", {line}, [&] {
    return work.token().functions().C_CopyObject(work.token().session(), *source, list.data(), list.size(), &handle);
  });
  if (rv != CKR_OK) return true;
  work.keep(named, handle);
  work.see(named, handle, {});
  return true;
}

constexpr Operation kCreations[] = {
    {"create", 20, &createAny}, {"generate", 12, &generate}, {"pair", 10, &generatePair},
    {"unwrap", 6, &unwrap},     {"derive", 6, &derive},      {"copy", 8, &copy},
};

}  // namespace

std::span<const Operation> creations() { return kCreations; }

}  // namespace p11ha::history
