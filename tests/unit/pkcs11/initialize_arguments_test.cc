#include "pkcs11/initialize_arguments.h"

#include <gtest/gtest.h>

#include "tests/support/initialize_arguments.h"

namespace p11ha::pkcs11 {
namespace {

TEST(InitializeArguments, MayBeMissing) { EXPECT_EQ(checkInitializeArguments(nullptr), CKR_OK); }

TEST(InitializeArguments, AreAnsweredInEveryCombination) {
  const auto cases = tests::everyInitializeCase();
  EXPECT_EQ(cases.size(), 16U * 4 * 2);
  for (const tests::InitializeCase& each : cases) {
    EXPECT_EQ(checkInitializeArguments(&each.arguments), each.answer) << each.name;
  }
}

// Spelt out, lest the table and the function agree on something wrong.
TEST(InitializeArguments, AreAnsweredAsTheStandardSays) {
  cryptoki::InitializeArgs none{};
  EXPECT_EQ(checkInitializeArguments(&none), CKR_OK);
  cryptoki::InitializeArgs all{};
  for (const auto& each : tests::everyInitializeCase()) {
    if (each.arguments.CreateMutex != nullptr && each.arguments.DestroyMutex != nullptr &&
        each.arguments.LockMutex != nullptr && each.arguments.UnlockMutex != nullptr) {
      all = each.arguments;
    }
  }
  all.pReserved = nullptr;
  all.flags = 0;
  EXPECT_EQ(checkInitializeArguments(&all), CKR_CANT_LOCK);
  all.flags = CKF_OS_LOCKING_OK;
  EXPECT_EQ(checkInitializeArguments(&all), CKR_OK);
  all.UnlockMutex = nullptr;
  EXPECT_EQ(checkInitializeArguments(&all), CKR_ARGUMENTS_BAD);
  // NSS and GnuTLS set it whoever they talk to.
  none.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK;
  EXPECT_EQ(checkInitializeArguments(&none), CKR_OK);
  none.pReserved = &none;
  EXPECT_EQ(checkInitializeArguments(&none), CKR_ARGUMENTS_BAD);
}

}  // namespace
}  // namespace p11ha::pkcs11
