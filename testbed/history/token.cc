#include "testbed/history/token.h"

#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>

namespace p11ha::history {
namespace {

void demand(CK_RV rv, const std::string& what) {
  if (rv != CKR_OK) throw std::runtime_error(what + " answers " + std::to_string(rv));
}

constexpr CK_ULONG kFoundAtOnce = 256;

}  // namespace

Token::Token(const std::string& module, const std::string& label, std::string pin)
    : library_(dlopen(module.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr) throw std::runtime_error(dlerror());
  const auto getList = reinterpret_cast<CK_C_GetFunctionList>(symbol("C_GetFunctionList"));
  if (getList == nullptr) throw std::runtime_error(module + " has no C_GetFunctionList");
  demand(getList(&functions_), "C_GetFunctionList");
  demand(functions_->C_Initialize(nullptr), "C_Initialize");
  CK_ULONG count = 0;
  demand(functions_->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
  std::vector<CK_SLOT_ID> slots(count);
  demand(functions_->C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList");
  slots.resize(count);
  std::string padded = label;
  padded.resize(sizeof(CK_TOKEN_INFO::label), ' ');
  const auto found = std::find_if(slots.begin(), slots.end(), [&](CK_SLOT_ID slot) {
    CK_TOKEN_INFO info{};
    return functions_->C_GetTokenInfo(slot, &info) == CKR_OK &&
           std::equal(padded.begin(), padded.end(), std::begin(info.label));
  });
  if (found == slots.end()) throw std::runtime_error("there is no token \"" + label + "\"");
  slot_ = *found;
  demand(functions_->C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session_),
         "C_OpenSession");
  demand(functions_->C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size()), "C_Login");
}

void* Token::symbol(const char* name) const { return dlsym(library_, name); }

std::vector<CK_OBJECT_HANDLE> Token::find(Attributes wanted) const {
  auto query = templateOf(wanted);
  demand(functions_->C_FindObjectsInit(session_, query.data(), query.size()), "C_FindObjectsInit");
  std::vector<CK_OBJECT_HANDLE> all;
  CK_RV rv = CKR_OK;
  for (CK_ULONG count = 1; count != 0;) {
    CK_OBJECT_HANDLE some[kFoundAtOnce];
    rv = functions_->C_FindObjects(session_, some, kFoundAtOnce, &count);
    if (rv != CKR_OK) break;
    all.insert(all.end(), some, some + count);
  }
  functions_->C_FindObjectsFinal(session_);
  demand(rv, "C_FindObjects");
  return all;
}

// One by one: SoftHSM 2.6.1 fails a whole call over some attributes.
Attributes Token::read(CK_OBJECT_HANDLE object, std::span<const CK_ATTRIBUTE_TYPE> types) const {
  Attributes attributes;
  for (const CK_ATTRIBUTE_TYPE type : types) {
    CK_ATTRIBUTE one{type, nullptr, 0};
    if (functions_->C_GetAttributeValue(session_, object, &one, 1) != CKR_OK) continue;
    Bytes value(one.ulValueLen);
    one.pValue = value.data();
    if (value.empty() || functions_->C_GetAttributeValue(session_, object, &one, 1) == CKR_OK) {
      attributes[type] = std::move(value);
    }
  }
  return attributes;
}

CK_RV Token::end() const { return functions_->C_Finalize(nullptr); }

}  // namespace p11ha::history
