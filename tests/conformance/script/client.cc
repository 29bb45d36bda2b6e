#include "tests/conformance/script/client.h"

#include <stdexcept>

#include "cryptoki/return_codes.h"
#include "cryptoki/text.h"

namespace p11ha::conformance {

using cryptoki::Fn;

void Client::begin() {
  section("begin");
  initialize();
  findToken();
}

void Client::initialize() {
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  arguments.LibraryParameters = libraryParameters();
  if (const CK_RV rv = call<Fn::Initialize>({}, &arguments); rv != CKR_OK) {
    throw std::runtime_error("C_Initialize answers " + cryptoki::returnCodeName(rv));
  }
}

// Not recorded: modules have different slots.
void Client::findToken() {
  const Module& module = recorder_.module();
  CK_SLOT_ID slots[64];
  CK_ULONG count = std::size(slots);
  module.call(cryptoki::makeCall<Fn::GetSlotList>(CK_BBOOL{CK_TRUE}, slots, &count));
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info{};
    if (module.call(cryptoki::makeCall<Fn::GetTokenInfo>(slots[i], &info)) == CKR_OK &&
        cryptoki::unpad(info.label) == access_.label) {
      slot_ = slots[i];
      recorder_.setSlot(slot_);
      return;
    }
  }
  throw std::runtime_error("no token \"" + access_.label + "\"");
}

CK_SESSION_HANDLE Client::open(const std::string& name, bool writable) {
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  Note note;
  note.makes = name;
  const CK_FLAGS flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0);
  call<Fn::OpenSession>(note, slot_, flags, nullptr, nullptr, &session);
  return session;
}

CK_RV Client::login(CK_SESSION_HANDLE session, CK_USER_TYPE user) {
  std::string pin = user == CKU_SO ? access_.soPin : access_.pin;
  return call<Fn::Login>({}, session, user, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size());
}

CK_OBJECT_HANDLE Client::create(CK_SESSION_HANDLE session, const std::string& name, const Attributes& object) {
  Prepared prepared(Fn::CreateObject, {name, false, name, {}});
  prepared.value(0, session).attributes(1, object).memory<CK_OBJECT_HANDLE>(3);
  call(prepared);
  return prepared.handle(3);
}

}  // namespace p11ha::conformance
