#include "pkcs11/initialize_arguments.h"

namespace p11ha::pkcs11 {

CK_RV checkInitializeArguments(const cryptoki::InitializeArgs* arguments) {
  if (arguments == nullptr) return CKR_OK;
  if (arguments->pReserved != nullptr) return CKR_ARGUMENTS_BAD;
  const int given = (arguments->CreateMutex != nullptr) + (arguments->DestroyMutex != nullptr) +
                    (arguments->LockMutex != nullptr) + (arguments->UnlockMutex != nullptr);
  if (given != 0 && given != 4) return CKR_ARGUMENTS_BAD;
  if (given == 4 && (arguments->flags & CKF_OS_LOCKING_OK) == 0) return CKR_CANT_LOCK;
  return CKR_OK;
}

}  // namespace p11ha::pkcs11
