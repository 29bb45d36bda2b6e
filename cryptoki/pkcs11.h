// PKCS #11 v3.0 as the standard has it, over the headers that libnss3-dev ships (the only packaged ones).
//
// Those differ from the standard in three ways that matter: CK_C_INITIALIZE_ARGS has a seventh member, CK_GCM_PARAMS
// changes with a macro, and some names are missing. Nothing else in the tree includes them.
#pragma once

#if defined(NSS_PKCS11_2_0_COMPAT) || defined(NSS_PCKS11_2_0_COMPAT)
#error "NSS_PKCS11_2_0_COMPAT changes CK_GCM_PARAMS: do not define it"
#endif

#include <cstddef>
#include <cstdint>
#include <iterator>

// What these headers declare is what a Cryptoki module exports.
#pragma GCC visibility push(default)
#define CK_PKCS11_3_0 1
#include <nss/pkcs11.h>
#pragma GCC visibility pop

#ifndef CKA_UNIQUE_ID
#define CKA_UNIQUE_ID 0x00000004UL
#endif
#ifndef CKR_AEAD_DECRYPT_FAILED
#define CKR_AEAD_DECRYPT_FAILED 0x00000042UL
#endif
#ifndef CKR_KEY_PARAMS_INVALID
#define CKR_KEY_PARAMS_INVALID 0x0000006BUL
#endif
#ifndef CKR_NO_EVENT
#define CKR_NO_EVENT 0x00000008UL
#endif
#ifndef CKA_NAME_HASH_ALGORITHM
#define CKA_NAME_HASH_ALGORITHM 0x0000008CUL
#endif
#ifndef CKO_OTP_KEY
#define CKO_OTP_KEY 0x00000008UL
#endif
#ifndef CKK_SECURID
#define CKK_SECURID 0x00000022UL
#endif
#ifndef CKK_HOTP
#define CKK_HOTP 0x00000023UL
#endif
#ifndef CKK_ACTI
#define CKK_ACTI 0x00000024UL
#endif
#ifndef CKF_EC_CURVENAME
#define CKF_EC_CURVENAME 0x04000000UL
#endif
#ifndef CKM_DES3_CMAC_GENERAL
#define CKM_DES3_CMAC_GENERAL 0x00000137UL
#endif
#ifndef CKM_DES3_CMAC
#define CKM_DES3_CMAC 0x00000138UL
#endif
#ifndef CKM_TLS10_MAC_SERVER
#define CKM_TLS10_MAC_SERVER 0x000003D6UL
#endif
#ifndef CKM_TLS10_MAC_CLIENT
#define CKM_TLS10_MAC_CLIENT 0x000003D7UL
#endif
#ifndef CKM_CAMELLIA_CTR
#define CKM_CAMELLIA_CTR 0x00000558UL
#endif
#ifndef CKM_KEA_DERIVE
#define CKM_KEA_DERIVE 0x00001012UL
#endif
#ifndef CKM_AES_XTS
#define CKM_AES_XTS 0x00001071UL
#endif
#ifndef CKM_AES_XTS_KEY_GEN
#define CKM_AES_XTS_KEY_GEN 0x00001072UL
#endif
#ifndef CKM_AES_GMAC
#define CKM_AES_GMAC 0x0000108EUL
#endif
#ifndef CKM_AES_OFB
#define CKM_AES_OFB 0x00002104UL
#endif
#ifndef CKM_AES_CFB64
#define CKM_AES_CFB64 0x00002105UL
#endif
#ifndef CKM_AES_CFB8
#define CKM_AES_CFB8 0x00002106UL
#endif
#ifndef CKM_AES_CFB128
#define CKM_AES_CFB128 0x00002107UL
#endif

namespace p11ha::cryptoki {

/// CK_C_INITIALIZE_ARGS of the standard (PKCS #11 v3.0, 5.4): what an application passes. Reading NSS's seventh member
/// would read past it.
struct InitializeArgs {
  CK_CREATEMUTEX CreateMutex;
  CK_DESTROYMUTEX DestroyMutex;
  CK_LOCKMUTEX LockMutex;
  CK_UNLOCKMUTEX UnlockMutex;
  CK_FLAGS flags;
  CK_VOID_PTR pReserved;
};

static_assert(sizeof(CK_ULONG) == 8 && sizeof(void*) == 8, "p11ha is built for LP64");
static_assert(sizeof(InitializeArgs) == 48 && offsetof(InitializeArgs, pReserved) == 40);
static_assert(sizeof(CK_C_INITIALIZE_ARGS) == 56, "NSS's own: the standard's six members and one more");
static_assert(offsetof(CK_C_INITIALIZE_ARGS, LibraryParameters) == offsetof(InitializeArgs, pReserved));
static_assert(sizeof(CK_ATTRIBUTE) == 24 && sizeof(CK_MECHANISM) == 24);
static_assert(sizeof(CK_GCM_PARAMS) == 48 && offsetof(CK_GCM_PARAMS, ulIvBits) == 16, "the standard's, with ulIvBits");
static_assert(sizeof(CK_FUNCTION_LIST) == (68 + 1) * sizeof(void*));
static_assert(sizeof(CK_FUNCTION_LIST_3_0) == (92 + 1) * sizeof(void*));
static_assert(offsetof(CK_FUNCTION_LIST, C_WaitForSlotEvent) == offsetof(CK_FUNCTION_LIST_3_0, C_WaitForSlotEvent));

}  // namespace p11ha::cryptoki
