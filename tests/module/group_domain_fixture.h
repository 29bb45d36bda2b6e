// A group over a cloning domain.
#pragma once

#include "tests/module/group_fixture.h"
#include "tests/support/program.h"

namespace p11ha::tests {

/// Three members that have joined one domain.
class DomainGroup : public WorkingGroup {
 protected:
  DomainGroup() {
    std::string written = configuration();
    const std::string policy = "   CloningPolicy = user;\n";
    written.erase(written.find(policy), policy.size());
    configure(written);
    setenv("P11HA_PIN", store.pin().c_str(), 1);
    setenv("P11HA_SO_PIN", store.soPin().c_str(), 1);
    // In a process of its own: whoever joins is the tokens' only user.
    const Ran joined = runCommandLine(
        P11HA_BINARY_DIR
        "/bin/hacm hagroup synchronize -group demo -password env:P11HA_PIN -sopassword env:P11HA_SO_PIN 2>&1");
    EXPECT_EQ(joined.status, 0) << joined.text;
  }
};

/// The same, and what is read of keys.
class GroupDomain : public DomainGroup {
 protected:
  CK_RV generateAes(const std::string& label, CK_OBJECT_HANDLE& key, const Template& further = {}) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    Template wanted{flag(CKA_TOKEN),        flag(CKA_ENCRYPT),   flag(CKA_DECRYPT),
                    text(CKA_LABEL, label), text(CKA_ID, label), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
    wanted.insert(wanted.end(), further.begin(), further.end());
    return client.f->C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &key);
  }
  /// The boolean attributes of a key as the application reads them: "010", "-" for one that it does not get.
  std::string read(CK_OBJECT_HANDLE key, std::vector<CK_ATTRIBUTE_TYPE> types) const {
    std::vector<CK_BBOOL> values(types.size(), CK_FALSE);
    Template wanted;
    for (std::size_t i = 0; i < types.size(); ++i) wanted.push_back({types[i], &values[i], sizeof values[i]});
    client.f->C_GetAttributeValue(session, key, wanted.data(), wanted.size());
    std::string told;
    for (std::size_t i = 0; i < types.size(); ++i)
      told += wanted[i].ulValueLen != 1 ? '-' : values[i] != CK_FALSE ? '1' : '0';
    return told;
  }
  std::string truth(CK_OBJECT_HANDLE key) const {
    return read(key, {CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED});
  }
  Template sealed(const std::string& label) const {
    return {text(CKA_LABEL, label), flag(CKA_SENSITIVE), flag(CKA_EXTRACTABLE), flag(CKA_WRAP_WITH_TRUSTED)};
  }
  /// From the next call on, which has yet to notice.
  void fail(std::size_t index) const { tell("fail " + member(index) + " * CKR_DEVICE_ERROR"); }
  void heal(std::size_t index) const { tell("heal " + member(index)); }
  CK_RV set(CK_OBJECT_HANDLE key, Template changes) const {
    return client.f->C_SetAttributeValue(session, key, changes.data(), changes.size());
  }
  CK_RV wrap(CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    Bytes wrapped(4096);
    CK_ULONG size = wrapped.size();
    return client.f->C_WrapKey(session, &mechanism, with, key, wrapped.data(), &size);
  }
};

}  // namespace p11ha::tests
