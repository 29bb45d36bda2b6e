// Parameters with rules of their own: vectors that the token makes, flags, derived keys, lengths behind pointers.
#include "tests/unit/cryptoki/parameter_maker.h"

namespace p11ha::cryptoki {
namespace {

TEST(OwnedParameters, CopiesKeepWhatTheMemberWrote) {
  std::uint8_t seed[4] = {1, 2, 3, 4};
  std::uint8_t output[200] = {};
  CK_ULONG room = sizeof output;
  CK_TLS_PRF_PARAMS prf{seed, sizeof seed, nullptr, 0, output, &room};
  CK_MECHANISM application{CKM_TLS_PRF, &prf, sizeof prf};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  auto* const inner = static_cast<CK_TLS_PRF_PARAMS*>(owned.get()->pParameter);
  std::memset(inner->pOutput, 9, 50);
  *inner->pulOutputLen = 50;
  OwnedMechanism copy(owned);
  OwnedMechanism moved(std::move(owned));
  EXPECT_TRUE(copy.writeBack(application));
  EXPECT_EQ(room, 50U);
  EXPECT_EQ(output[49], 9);
  EXPECT_EQ(output[50], 0);
  room = 10;
  std::memset(output, 0, sizeof output);
  EXPECT_TRUE(moved.writeBack(application)) << "within the room that the application has";
  EXPECT_EQ(output[9], 9);
  EXPECT_EQ(output[10], 0);
}

TEST(OwnedParameters, LeavesConstantInitializationVectorsAlone) {
  static constexpr std::uint8_t kIv[12] = {1, 2, 3};  // in memory that cannot be written
  CK_GCM_PARAMS gcm{const_cast<CK_BYTE*>(kIv), sizeof kIv, 96, nullptr, 0, 128};
  CK_MECHANISM application{CKM_AES_GCM, &gcm, sizeof gcm};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  EXPECT_FALSE(owned.writeBack(application));
  EXPECT_FALSE(owned.pinned());
}

TEST(OwnedParameters, IsPinnedOnceTheTokenWroteAnInitializationVector) {
  std::uint8_t iv[12] = {};
  CK_GCM_PARAMS gcm{iv, sizeof iv, 96, nullptr, 0, 128};
  CK_MECHANISM application{CKM_AES_GCM, &gcm, sizeof gcm};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  EXPECT_FALSE(owned.pinned());
  auto* const inner = static_cast<CK_GCM_PARAMS*>(owned.get()->pParameter);
  inner->pIv[3] = 9;
  inner->ulIvLen = 100;  // a token's lie about its length reaches nobody's memory
  EXPECT_TRUE(owned.writeBack(application));
  EXPECT_EQ(iv[3], 9);
  EXPECT_EQ(gcm.ulIvLen, sizeof iv);
  EXPECT_TRUE(owned.pinned());
  const OwnedMechanism copy(owned);
  EXPECT_TRUE(copy.pinned());
  ASSERT_EQ(owned.assign({CKM_SHA256, nullptr, 0}), CKR_OK);
  EXPECT_FALSE(owned.pinned());
}

TEST(OwnedParameters, IsPinnedBeforehandByAMessageGenerator) {
  std::uint8_t iv[12] = {};
  std::uint8_t tag[16] = {};
  CK_GCM_MESSAGE_PARAMS gcm{iv, sizeof iv, 0, CKG_NO_GENERATE, tag, 128};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assignMessage(CKM_AES_GCM, &gcm, sizeof gcm), CKR_OK);
  EXPECT_FALSE(owned.pinned());
  gcm.ivGenerator = CKG_GENERATE_RANDOM;
  ASSERT_EQ(owned.assignMessage(CKM_AES_GCM, &gcm, sizeof gcm), CKR_OK);
  EXPECT_TRUE(owned.pinned());
}

TEST(OwnedParameters, LeavesOutWhatAFlagSwitchesOff) {
  OwnedMechanism owned;
  CK_HKDF_PARAMS hkdf{};
  hkdf.bExpand = CK_TRUE;
  hkdf.ulSaltType = CKF_HKDF_SALT_NULL;
  hkdf.hSaltKey = 12345;                               // never set by the application
  hkdf.pSalt = reinterpret_cast<CK_BYTE*>(0x1234567);  // neither
  hkdf.ulSaltLen = 99;
  ASSERT_EQ(owned.assign({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}), CKR_OK);
  owned.forEachHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE(); });
  EXPECT_EQ(static_cast<CK_HKDF_PARAMS*>(owned.get()->pParameter)->pSalt, nullptr);
  EXPECT_TRUE(owned.sameAs({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}));

  hkdf.ulSaltType = CKF_HKDF_SALT_KEY;
  ASSERT_EQ(owned.assign({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}), CKR_OK);
  owned.forEachHandle([](CK_OBJECT_HANDLE& handle) { handle = 7; });
  EXPECT_EQ(static_cast<CK_HKDF_PARAMS*>(owned.get()->pParameter)->hSaltKey, 7U);
  EXPECT_EQ(hkdf.hSaltKey, 12345U);
  hkdf.hSaltKey = CK_INVALID_HANDLE;
  ASSERT_EQ(owned.assign({CKM_HKDF_DERIVE, &hkdf, sizeof hkdf}), CKR_OK);
  owned.forEachHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE(); });
}

TEST(OwnedParameters, CarriesNewHandlesAndVectorsOfDerivedKeys) {
  std::uint8_t random[32] = {};
  std::uint8_t client[8] = {};
  CK_SSL3_KEY_MAT_OUT out{1, 2, 3, 4, client, nullptr};
  CK_SSL3_KEY_MAT_PARAMS keys{160, 128, 64, CK_FALSE, {random, 32, random, 32}, &out};
  CK_MECHANISM application{CKM_TLS_KEY_AND_MAC_DERIVE, &keys, sizeof keys};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  auto* const made = static_cast<CK_SSL3_KEY_MAT_PARAMS*>(owned.get()->pParameter)->pReturnedKeyMaterial;
  EXPECT_EQ(made->hClientKey, CK_OBJECT_HANDLE{CK_INVALID_HANDLE}) << "the application's garbage is not the member's";
  made->hClientKey = 5;
  made->hServerKey = 6;
  made->pIVClient[7] = 1;
  owned.forEachHandle([](CK_OBJECT_HANDLE&) { ADD_FAILURE() << "none goes in"; });
  owned.forEachNewHandle([](CK_OBJECT_HANDLE& handle) { handle += 100; });
  EXPECT_TRUE(owned.writeBack(application));
  EXPECT_EQ(out.hClientKey, 105U);
  EXPECT_EQ(out.hServerKey, 106U);
  EXPECT_EQ(out.hClientMacSecret, 1U) << "not written by the member";
  EXPECT_EQ(client[7], 1);
}

TEST(OwnedParameters, ALengthIsTheRoomAndThenWhatIsThere) {
  std::uint8_t value[32] = {};
  CK_NSS_JPAKERound1Params round{};
  round.gx1.pGX = value;
  round.gx1.ulGXLen = sizeof value;
  CK_MECHANISM application{CKM_NSS_JPAKE_ROUND1_SHA256, &round, sizeof round};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign(application), CKR_OK);
  EXPECT_FALSE(owned.writeBack(application));
  auto* const made = static_cast<CK_NSS_JPAKERound1Params*>(owned.get()->pParameter);
  ASSERT_NE(made->gx1.pGX, value);
  std::fill_n(made->gx1.pGX, 20, std::uint8_t{7});
  std::fill_n(made->gx1.pGX + 20, 12, std::uint8_t{9});
  made->gx1.ulGXLen = 20;
  EXPECT_TRUE(owned.writeBack(application));
  EXPECT_EQ(round.gx1.ulGXLen, 20U);
  EXPECT_EQ(value[19], 7);
  EXPECT_EQ(value[20], 0) << "beyond the length nothing is said";
  EXPECT_EQ(round.gx2.pGX, nullptr);
}

TEST(OwnedParameters, CopiesTemplatesOfDerivedKeysWithWhatIsNestedInThem) {
  OwnedMechanism owned;
  CK_OBJECT_HANDLE handle = 0;
  {
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE nested[] = {{CKA_PRIVATE, &yes, sizeof yes}};
    CK_ATTRIBUTE attributes[] = {{CKA_TOKEN, &yes, sizeof yes}, {CKA_UNWRAP_TEMPLATE, nested, sizeof nested}};
    CK_DERIVED_KEY derived{attributes, 2, &handle};
    CK_SP800_108_KDF_PARAMS kdf{CKM_SHA256_HMAC, 0, nullptr, 1, &derived};
    ASSERT_EQ(owned.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_OK);
    EXPECT_TRUE(owned.sameAs({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}));
    nested[0].ulValueLen = 0;
    EXPECT_FALSE(owned.sameAs({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}));
    attributes[1].ulValueLen = 25;
    OwnedMechanism other;
    EXPECT_EQ(other.assign({CKM_SP800_108_COUNTER_KDF, &kdf, sizeof kdf}), CKR_MECHANISM_PARAM_INVALID);
    std::memset(static_cast<void*>(attributes), 0xEE, sizeof attributes);
    std::memset(static_cast<void*>(nested), 0xEE, sizeof nested);
  }
  const auto* kdf = static_cast<const CK_SP800_108_KDF_PARAMS*>(owned.get()->pParameter);
  const CK_ATTRIBUTE& unwrap = kdf->pAdditionalDerivedKeys[0].pTemplate[1];
  EXPECT_EQ(unwrap.type, CK_ATTRIBUTE_TYPE{CKA_UNWRAP_TEMPLATE});
  EXPECT_EQ(load<CK_BBOOL>(static_cast<const CK_ATTRIBUTE*>(unwrap.pValue)->pValue), CK_TRUE);
}

TEST(OwnedParameters, TellsTheTwoPbkd2StructuresApart) {
  std::uint8_t password[] = {'p', 'w'};
  std::uint8_t salt[8] = {};
  CK_ULONG length = sizeof password;
  CK_PKCS5_PBKD2_PARAMS first{CKZ_SALT_SPECIFIED, salt,   sizeof salt, 1000, CKP_PKCS5_PBKD2_HMAC_SHA256, nullptr, 0,
                              password,           &length};
  CK_PKCS5_PBKD2_PARAMS2 second{CKZ_SALT_SPECIFIED, salt,  sizeof salt, 1000, CKP_PKCS5_PBKD2_HMAC_SHA256, nullptr, 0,
                                password,           length};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign({CKM_PKCS5_PBKD2, &first, sizeof first}), CKR_OK);
  const auto* copied = static_cast<const CK_PKCS5_PBKD2_PARAMS*>(owned.get()->pParameter);
  EXPECT_NE(copied->ulPasswordLen, &length);
  EXPECT_EQ(*copied->ulPasswordLen, 2U);
  EXPECT_EQ(copied->pPassword[1], 'w');
  ASSERT_EQ(owned.assign({CKM_PKCS5_PBKD2, &second, sizeof second}), CKR_OK);
  const auto* copied2 = static_cast<const CK_PKCS5_PBKD2_PARAMS2*>(owned.get()->pParameter);
  EXPECT_EQ(copied2->ulPasswordLen, 2U);
  EXPECT_EQ(copied2->pPassword[0], 'p');
}

TEST(OwnedParameters, KeepsEmptyAndAbsentApart) {
  // SoftHSM refuses an OAEP label that is there, even an empty one: it shall see what the application gave.
  std::uint8_t byte = 0;
  CK_RSA_PKCS_OAEP_PARAMS oaep{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, &byte, 0};
  OwnedMechanism owned;
  ASSERT_EQ(owned.assign({CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}), CKR_OK);
  const auto* const copied = static_cast<const CK_RSA_PKCS_OAEP_PARAMS*>(owned.get()->pParameter);
  EXPECT_NE(copied->pSourceData, nullptr);
  EXPECT_NE(copied->pSourceData, &byte);
  CK_RSA_PKCS_OAEP_PARAMS absent = oaep;
  absent.pSourceData = nullptr;
  EXPECT_FALSE(owned.sameAs({CKM_RSA_PKCS_OAEP, &absent, sizeof absent}));
}

}  // namespace
}  // namespace p11ha::cryptoki
