// What the arguments of a C_ function are: each role stands for one to four C parameters. functions.def spells every
// function in roles; whoever treats arguments (lowering, translation of handles, codec, trace) asks for the role, not
// for the function.
#pragma once

#include <tuple>

#include "cryptoki/pkcs11.h"

namespace p11ha::cryptoki {

enum class RoleKind : std::uint8_t {
  SlotId,            // the slot the call is about
  SessionId,         // the session the call is about
  ObjectId,          // an object: CKR_OBJECT_HANDLE_INVALID
  KeyId,             // a key: CKR_KEY_HANDLE_INVALID
  WrappingKeyId,     // CKR_WRAPPING_KEY_HANDLE_INVALID
  UnwrappingKeyId,   // CKR_UNWRAPPING_KEY_HANDLE_INVALID
  OptionalKeyId,     // a key, or CK_INVALID_HANDLE for none
  NewObject,         // receives a handle
  NewSession,        // receives a handle
  FoundObjects,      // handles out: array, its capacity, count
  Mechanism,         // with parameters that may hold pointers and may be written
  InTemplate,        // attributes in
  OutTemplate,       // attributes whose values are filled in
  InBytes,           // data in: pointer, length
  OutBytes,          // data out by the convention of section 5.2: buffer or NULL, length in and out
  FilledBytes,       // data out of exactly the given length
  MessageParameter,  // a message's own parameter (v3.0), may be written
  Pin,               // secret, in: pointer, length
  UserName,          // pointer, length
  Label32,           // 32 blank-padded bytes
  UserType,
  Flags,
  Present,  // tokenPresent
  MechanismType,
  OutNumber,
  OutSlot,
  OutSlots,       // array or NULL, count in and out
  OutMechanisms,  // likewise
  OutInterfaces,  // likewise
  OutInfo,        // one of the CK_..._INFO structures
  Callback,       // pApplication, Notify: this process only
  InitializeArguments,
  Reserved,
  OutFunctionList,
  InterfaceRequest,
};

template <RoleKind K, class... Params>
struct RoleType {
  static constexpr RoleKind kind = K;
  static constexpr std::uint8_t words = sizeof...(Params);
  using Parameters = std::tuple<Params...>;
};

namespace role {
using SlotId = RoleType<RoleKind::SlotId, CK_SLOT_ID>;
using SessionId = RoleType<RoleKind::SessionId, CK_SESSION_HANDLE>;
using ObjectId = RoleType<RoleKind::ObjectId, CK_OBJECT_HANDLE>;
using KeyId = RoleType<RoleKind::KeyId, CK_OBJECT_HANDLE>;
using WrappingKeyId = RoleType<RoleKind::WrappingKeyId, CK_OBJECT_HANDLE>;
using UnwrappingKeyId = RoleType<RoleKind::UnwrappingKeyId, CK_OBJECT_HANDLE>;
using OptionalKeyId = RoleType<RoleKind::OptionalKeyId, CK_OBJECT_HANDLE>;
using NewObject = RoleType<RoleKind::NewObject, CK_OBJECT_HANDLE_PTR>;
using NewSession = RoleType<RoleKind::NewSession, CK_SESSION_HANDLE_PTR>;
using FoundObjects = RoleType<RoleKind::FoundObjects, CK_OBJECT_HANDLE_PTR, CK_ULONG, CK_ULONG_PTR>;
using Mechanism = RoleType<RoleKind::Mechanism, CK_MECHANISM_PTR>;
using InTemplate = RoleType<RoleKind::InTemplate, CK_ATTRIBUTE_PTR, CK_ULONG>;
using OutTemplate = RoleType<RoleKind::OutTemplate, CK_ATTRIBUTE_PTR, CK_ULONG>;
using InBytes = RoleType<RoleKind::InBytes, CK_BYTE_PTR, CK_ULONG>;
using OutBytes = RoleType<RoleKind::OutBytes, CK_BYTE_PTR, CK_ULONG_PTR>;
using FilledBytes = RoleType<RoleKind::FilledBytes, CK_BYTE_PTR, CK_ULONG>;
using MessageParameter = RoleType<RoleKind::MessageParameter, CK_VOID_PTR, CK_ULONG>;
using Pin = RoleType<RoleKind::Pin, CK_UTF8CHAR_PTR, CK_ULONG>;
using UserName = RoleType<RoleKind::UserName, CK_UTF8CHAR_PTR, CK_ULONG>;
using Label32 = RoleType<RoleKind::Label32, CK_UTF8CHAR_PTR>;
using UserType = RoleType<RoleKind::UserType, CK_USER_TYPE>;
using Flags = RoleType<RoleKind::Flags, CK_FLAGS>;
using Present = RoleType<RoleKind::Present, CK_BBOOL>;
using MechanismType = RoleType<RoleKind::MechanismType, CK_MECHANISM_TYPE>;
using OutNumber = RoleType<RoleKind::OutNumber, CK_ULONG_PTR>;
using OutSlot = RoleType<RoleKind::OutSlot, CK_SLOT_ID_PTR>;
using OutSlots = RoleType<RoleKind::OutSlots, CK_SLOT_ID_PTR, CK_ULONG_PTR>;
using OutMechanisms = RoleType<RoleKind::OutMechanisms, CK_MECHANISM_TYPE_PTR, CK_ULONG_PTR>;
using OutInterfaces = RoleType<RoleKind::OutInterfaces, CK_INTERFACE_PTR, CK_ULONG_PTR>;
template <class Info>
using OutInfo = RoleType<RoleKind::OutInfo, Info*>;
using Callback = RoleType<RoleKind::Callback, CK_VOID_PTR, CK_NOTIFY>;
using InitializeArguments = RoleType<RoleKind::InitializeArguments, CK_VOID_PTR>;
using Reserved = RoleType<RoleKind::Reserved, CK_VOID_PTR>;
using OutFunctionList = RoleType<RoleKind::OutFunctionList, CK_FUNCTION_LIST_PTR_PTR>;
using InterfaceRequest =
    RoleType<RoleKind::InterfaceRequest, CK_UTF8CHAR_PTR, CK_VERSION_PTR, CK_INTERFACE_PTR_PTR, CK_FLAGS>;
}  // namespace role

}  // namespace p11ha::cryptoki
