// Every parameter of the table, and what is refused.
#include "cryptoki/owned_mechanism.h"

#include <set>
#include <utility>

#include "tests/unit/cryptoki/parameter_maker.h"

namespace p11ha::cryptoki {
namespace {

using test::Case;
using test::everyShapeOfEveryMechanism;
using test::Parameter;

TEST(OwnedMechanism, TakesEveryParameterThatTheTableHas) {
  OwnedMechanism owned;
  for (const Case& c : everyShapeOfEveryMechanism()) {
    SCOPED_TRACE(mechanismName(c.type));
    for (const bool indirect : {false, true}) {
      {
        Parameter gone(*c.shape, indirect);
        ASSERT_EQ(assign(owned, c, gone), CKR_OK);
      }
      Parameter again(*c.shape, indirect);
      EXPECT_EQ(owned.type(), c.type);
      ASSERT_EQ(owned.get()->ulParameterLen, c.shape->size);
      EXPECT_TRUE(owned.sameAs({c.type, again.data(), again.size()}));

      std::size_t handles = 0;
      CK_OBJECT_HANDLE sum = 0;
      owned.forEachHandle([&](CK_OBJECT_HANDLE& handle) {
        ++handles;
        sum += handle++;
      });
      EXPECT_EQ(handles, again.handles());
      EXPECT_EQ(sum, handles * Parameter::kFirstHandle + handles * (handles - 1) / 2);
      EXPECT_EQ(owned.sameAs({c.type, again.data(), again.size()}), handles == 0);
      owned.forEachNewHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE() << "the member has written none"; });
    }
  }
}

TEST(OwnedMechanism, WritesBackWhatTheMemberWrote) {
  for (const Case& c : everyShapeOfEveryMechanism()) {
    SCOPED_TRACE(mechanismName(c.type));
    Parameter application(*c.shape);
    Parameter expected(*c.shape);
    OwnedMechanism owned;
    ASSERT_EQ(assign(owned, c, application), CKR_OK);
    CK_MECHANISM mechanism{c.type, application.data(), application.size()};
    EXPECT_EQ(owned.writeBack(mechanism), c.type == CKM_TLS_PRF || c.type == CKM_WTLS_PRF)
        << "nothing was written but what is counted as an answer";

    Parameter fresh(*c.shape);
    CK_MECHANISM target{c.type, fresh.data(), fresh.size()};
    const std::size_t written = Parameter::writeAsMember(*c.shape, owned.get()->pParameter, nullptr);
    EXPECT_EQ(Parameter::writeAsMember(*c.shape, expected.data(), nullptr), written);
    EXPECT_EQ(owned.writeBack(target), written != 0);
    Parameter::expectEqualButApart(*c.shape, fresh.data(), expected.data(), nullptr, nullptr);
    EXPECT_TRUE(written == 0 || owned.pinned());

    std::set<CK_OBJECT_HANDLE> made;
    owned.forEachNewHandle([&](CK_OBJECT_HANDLE& handle) { made.insert(handle); });
    for (const CK_OBJECT_HANDLE handle : made) EXPECT_GE(handle, 77U);
  }
}

TEST(OwnedMechanism, CopiesAndMovesStandAlone) {
  for (const Case& c : everyShapeOfEveryMechanism()) {
    SCOPED_TRACE(mechanismName(c.type));
    Parameter again(*c.shape);
    const CK_MECHANISM same{c.type, again.data(), again.size()};
    OwnedMechanism copy;
    OwnedMechanism moved;
    {
      auto owned = std::make_unique<OwnedMechanism>();
      Parameter gone(*c.shape);
      ASSERT_EQ(assign(*owned, c, gone), CKR_OK);
      copy = *owned;
      EXPECT_TRUE(owned->sameAs(same));
      moved = std::move(*owned);
    }
    EXPECT_TRUE(copy.sameAs(same));
    EXPECT_TRUE(moved.sameAs(same));
    const OwnedMechanism third(std::move(copy));
    EXPECT_TRUE(third.sameAs(same));
    moved = OwnedMechanism(third);
    EXPECT_TRUE(moved.sameAs(same));
    Parameter::expectEqualButApart(*c.shape, moved.get()->pParameter, third.get()->pParameter, nullptr, nullptr);
  }
}

TEST(OwnedMechanism, PassesOnNoParameterWhateverTheMechanism) {
  OwnedMechanism owned;
  std::uint8_t iv[16] = {};
  ASSERT_EQ(owned.assign({CKM_AES_CBC, iv, sizeof iv}), CKR_OK);
  for (const CK_MECHANISM_TYPE type : {CKM_SHA256, CKM_AES_GCM, CKM_HOTP, CKM_VENDOR_DEFINED | 5UL}) {
    ASSERT_EQ(owned.assign({type, iv, 0}), CKR_OK);
    EXPECT_EQ(owned.type(), type);
    EXPECT_EQ(owned.get()->pParameter, nullptr);
    EXPECT_EQ(owned.get()->ulParameterLen, 0U);
    EXPECT_TRUE(owned.sameAs({type, nullptr, 0}));
    EXPECT_FALSE(owned.sameAs({type, iv, 16}));
    EXPECT_FALSE(owned.pinned());
    CK_MECHANISM application{type, iv, 0};
    EXPECT_FALSE(owned.writeBack(application));
    const OwnedMechanism copy(owned);
    EXPECT_EQ(copy.type(), type);
  }
  EXPECT_EQ(owned.assignMessage(CKM_AES_GCM, nullptr, 0), CKR_OK);
}

TEST(OwnedMechanism, RefusesWhatItCannotCopySafely) {
  OwnedMechanism owned;
  std::uint8_t byte = 0;
  const auto refused = [&](CK_MECHANISM_TYPE type, void* parameter, CK_ULONG length) {
    const bool is = owned.assign({type, parameter, length}) == CKR_MECHANISM_PARAM_INVALID;
    EXPECT_EQ(owned.get()->pParameter, nullptr);
    return is;
  };
  EXPECT_TRUE(refused(CKM_VENDOR_DEFINED | 5UL, &byte, 1)) << "unknown";
  EXPECT_TRUE(refused(CKM_HOTP, &byte, 1)) << "known by name only";
  EXPECT_TRUE(refused(CKM_AES_CBC, nullptr, 16));
  EXPECT_TRUE(refused(CKM_AES_CBC, &byte, kMaxParameterField + 1));
  EXPECT_TRUE(refused(CKM_AES_CBC, &byte, ~0UL));
  CK_GCM_PARAMS gcm{};
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm - 1));
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm + 8));
  EXPECT_TRUE(refused(CKM_RSA_PKCS_PSS, &gcm, sizeof(CK_RSA_PKCS_PSS_PARAMS) + 1));
  gcm.ulAADLen = 1;
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm)) << "a length and no pointer";
  gcm.pAAD = &byte;
  gcm.ulAADLen = kMaxParameterField + 1;
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm));
  gcm.ulAADLen = ~0UL;
  EXPECT_TRUE(refused(CKM_AES_GCM, &gcm, sizeof gcm));
  CK_CHACHA20_PARAMS chacha{&byte, ~0UL, &byte, 8};
  EXPECT_TRUE(refused(CKM_CHACHA20, &chacha, sizeof chacha)) << "bits";
  CK_SP800_108_KDF_PARAMS kdf{};
  kdf.ulNumberOfDataParams = ~0UL;
  kdf.pDataParams = reinterpret_cast<CK_PRF_DATA_PARAM*>(&byte);
  EXPECT_TRUE(refused(CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf)) << "a count whose product overflows";
  EXPECT_EQ(owned.assignMessage(CKM_AES_CBC, &byte, 1), CKR_MECHANISM_PARAM_INVALID) << "has no messages";
  EXPECT_EQ(owned.assignMessage(CKM_AES_GCM, &gcm, sizeof gcm - 1), CKR_MECHANISM_PARAM_INVALID);
  EXPECT_EQ(owned.assign({CKM_SHA256, nullptr, 0}), CKR_OK) << "and goes on after that";
}

TEST(OwnedMechanism, BoundsDepthAndTheSumOfAliases) {
  OwnedMechanism owned;
  CK_KIP_PARAMS kip{};
  CK_MECHANISM self{CKM_KIP_DERIVE, &kip, sizeof kip};
  kip.pMechanism = &self;
  EXPECT_EQ(owned.assign(self), CKR_MECHANISM_PARAM_INVALID);

  std::vector<std::uint8_t> large(kMaxParameterField);
  std::vector<CK_PRF_DATA_PARAM> aliases(kMaxParameter / kMaxParameterField + 1,
                                         {CK_SP800_108_BYTE_ARRAY, large.data(), large.size()});
  CK_SP800_108_KDF_PARAMS kdf{CKM_SHA256_HMAC, aliases.size(), aliases.data(), 0, nullptr};
  EXPECT_EQ(owned.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_MECHANISM_PARAM_INVALID);
  kdf.ulNumberOfDataParams = 3;
  EXPECT_EQ(owned.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_OK);
}

}  // namespace
}  // namespace p11ha::cryptoki
