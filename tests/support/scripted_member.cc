#include "tests/support/scripted_member.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "cryptoki/text.h"

namespace p11ha::tests {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::Outcome;
using cryptoki::Route;
using cryptoki::Template;

// Handles begin elsewhere on every member, so that one sent to the wrong member is noticed.
ScriptedMember::ScriptedMember(std::string serial, std::string userPin)
    : pin(std::move(userPin)),
      serial_(std::move(serial)),
      lastSession_(1000 * (1 + std::hash<std::string>()(serial_) % 1000)),
      lastObject_(lastSession_ + 500'000'000) {}

CK_RV ScriptedMember::attach() {
  ++attaches;
  return down ? down->rv : attachRv;
}

Outcome ScriptedMember::execute(const Call& call) {
  const bool session = cryptoki::function(call.fn).route == Route::Session;
  made.push_back({call.fn, session ? call.session() : CK_INVALID_HANDLE});
  if (script) {
    // A copy: a script may replace itself.
    const Script now = script;
    if (const auto scripted = now(call)) return *scripted;
  }
  return down ? *down : Outcome{answer(call)};
}

CK_OBJECT_HANDLE ScriptedMember::put(Template object) {
  objects_.emplace(++lastObject_, std::move(object));
  return lastObject_;
}

void ScriptedMember::renumber() {
  std::map<CK_OBJECT_HANDLE, Template> before;
  before.swap(objects_);
  for (auto& [handle, object] : before) put(std::move(object));
}

void ScriptedMember::restart() {
  sessions_.clear();
  user_.reset();
  std::erase_if(objects_, [](const auto& entry) { return !entry.second.boolean(CKA_TOKEN).value_or(false); });
}

std::size_t ScriptedMember::count(Fn fn) const {
  return static_cast<std::size_t>(std::count_if(made.begin(), made.end(), [fn](const Made& m) { return m.fn == fn; }));
}

std::size_t ScriptedMember::objectsLabelled(const std::string& label) const {
  return static_cast<std::size_t>(std::count_if(objects_.begin(), objects_.end(), [&](const auto& entry) {
    const auto value = entry.second.find(CKA_LABEL);
    return value && std::string(value->begin(), value->end()) == label;
  }));
}

bool ScriptedMember::visible(const Template& object) const {
  return user_ == CKU_USER || !object.boolean(CKA_PRIVATE).value_or(true);
}

const Template* ScriptedMember::find(CK_OBJECT_HANDLE handle) const {
  const auto found = objects_.find(handle);
  return found == objects_.end() || !visible(found->second) ? nullptr : &found->second;
}

CK_RV ScriptedMember::answer(const Call& call) {
  switch (call.fn) {
    case Fn::GetTokenInfo: {
      auto& info = *call.get<CK_TOKEN_INFO*>(1);
      info = {};
      cryptoki::pad(info.label, "scripted");
      cryptoki::pad(info.serialNumber, serial_);
      info.flags = tokenFlags;
      info.ulMinPinLen = 4;
      info.ulMaxPinLen = 255;
      return CKR_OK;
    }
    case Fn::GetMechanismList: {
      auto* const list = call.get<CK_MECHANISM_TYPE*>(1);
      auto& count = *call.get<CK_ULONG*>(2);
      const CK_ULONG room = count;
      count = mechanisms.size();
      if (list == nullptr) return CKR_OK;
      if (room < count) return CKR_BUFFER_TOO_SMALL;
      std::copy(mechanisms.begin(), mechanisms.end(), list);
      return CKR_OK;
    }
    case Fn::GetMechanismInfo:
      if (std::find(mechanisms.begin(), mechanisms.end(), call.get<CK_ULONG>(1)) == mechanisms.end())
        return CKR_MECHANISM_INVALID;
      *call.get<CK_MECHANISM_INFO*>(2) = mechanismInfo;
      return CKR_OK;
    case Fn::OpenSession:
      sessions_[++lastSession_].flags = call.get<CK_FLAGS>(1);
      *call.get<CK_SESSION_HANDLE*>(4) = lastSession_;
      return CKR_OK;
    default:
      break;
  }
  if (cryptoki::function(call.fn).route != Route::Session) return CKR_FUNCTION_NOT_SUPPORTED;
  const auto found = sessions_.find(call.session());
  if (found == sessions_.end()) return CKR_SESSION_HANDLE_INVALID;
  if (call.fn == Fn::CloseSession) {
    sessions_.erase(found);
    if (sessions_.empty()) user_.reset();
    return CKR_OK;
  }
  return inSession(call, found->second);
}

CK_RV ScriptedMember::inSession(const Call& call, Session& session) {
  switch (call.fn) {
    case Fn::GetSessionInfo: {
      auto& info = *call.get<CK_SESSION_INFO*>(1);
      const bool writes = (session.flags & CKF_RW_SESSION) != 0;
      info = {};
      info.flags = session.flags;
      info.state = user_ == CKU_SO     ? CKS_RW_SO_FUNCTIONS
                   : user_ == CKU_USER ? (writes ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS)
                                       : (writes ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION);
      return CKR_OK;
    }
    case Fn::Login:
      return login(call);
    case Fn::Logout:
      if (!user_) return CKR_USER_NOT_LOGGED_IN;
      user_.reset();
      return CKR_OK;
    case Fn::FindObjectsInit: {
      if (session.searching) return CKR_OPERATION_ACTIVE;
      const auto* wanted = call.get<const CK_ATTRIBUTE*>(1);
      session.searching = true;
      session.found.clear();
      for (const auto& [handle, object] : objects_) {
        // Named anew: clang 14 lets no lambda capture a structured binding.
        const auto matches = [&candidate = object](const CK_ATTRIBUTE& attribute) {
          const auto value = candidate.find(attribute.type);
          return value && value->size() == attribute.ulValueLen &&
                 std::memcmp(value->data(), attribute.pValue, value->size()) == 0;
        };
        const bool fits = std::all_of(wanted, wanted + call.get<CK_ULONG>(2), matches);
        if (fits && visible(object)) session.found.push_back(handle);
      }
      return CKR_OK;
    }
    case Fn::FindObjects: {
      if (!session.searching) return CKR_OPERATION_NOT_INITIALIZED;
      const auto some = static_cast<std::ptrdiff_t>(std::min(call.get<CK_ULONG>(2), session.found.size()));
      std::copy_n(session.found.begin(), some, call.get<CK_OBJECT_HANDLE*>(1));
      session.found.erase(session.found.begin(), session.found.begin() + some);
      *call.get<CK_ULONG*>(3) = static_cast<CK_ULONG>(some);
      return CKR_OK;
    }
    case Fn::FindObjectsFinal:
      if (!session.searching) return CKR_OPERATION_NOT_INITIALIZED;
      session.searching = false;
      return CKR_OK;
    case Fn::GetAttributeValue:
      return readAttributes(call);
    case Fn::CreateObject: {
      auto object = Template::copyOf(call.get<const CK_ATTRIBUTE*>(1), call.get<CK_ULONG>(2));
      if (!object) return object.error();
      *call.get<CK_OBJECT_HANDLE*>(3) = put(std::move(object).value());
      return CKR_OK;
    }
    case Fn::DestroyObject:
      return objects_.erase(call.get<CK_OBJECT_HANDLE>(1)) != 0 ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
    case Fn::GenerateRandom:
      std::fill_n(call.get<CK_BYTE*>(1), call.get<CK_ULONG>(2), static_cast<CK_BYTE>(++random_));
      return CKR_OK;
    case Fn::SeedRandom:
      return CKR_OK;
    case Fn::SignInit:
      session.fed.clear();
      return beginWithKey(call, session.signing);
    case Fn::VerifyInit:
      return beginWithKey(call, session.verifying);
    case Fn::SignUpdate:
      if (!session.signing) return CKR_OPERATION_NOT_INITIALIZED;
      session.fed.append(call.get<const char*>(1), call.get<CK_ULONG>(2));
      return CKR_OK;
    case Fn::Sign:
    case Fn::SignFinal:
      return sign(call, session);
    case Fn::Verify: {
      if (!session.verifying) return CKR_OPERATION_NOT_INITIALIZED;
      session.verifying = false;
      const std::string data(call.get<const char*>(1), call.get<CK_ULONG>(2));
      const std::string signature(call.get<const char*>(3), call.get<CK_ULONG>(4));
      return signature.ends_with(" signed " + data) ? CKR_OK : CKR_SIGNATURE_INVALID;
    }
    default:
      return CKR_FUNCTION_NOT_SUPPORTED;
  }
}

CK_RV ScriptedMember::login(const Call& call) {
  const auto userType = call.get<CK_USER_TYPE>(1);
  if (user_ == userType) return CKR_USER_ALREADY_LOGGED_IN;
  if (user_) return CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
  if (stands != cryptoki::Standing::Active) return CKR_USER_NOT_LOGGED_IN;
  const auto* const given = call.get<const char*>(2);
  const bool byPad = given == nullptr && (tokenFlags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
  if (given == nullptr && !byPad) return CKR_ARGUMENTS_BAD;
  if (!byPad && std::string(given, call.get<CK_ULONG>(3)) != pin) return CKR_PIN_INCORRECT;
  user_ = userType;
  return CKR_OK;
}

CK_RV ScriptedMember::readAttributes(const Call& call) const {
  const Template* object = find(call.get<CK_OBJECT_HANDLE>(1));
  if (object == nullptr) return CKR_OBJECT_HANDLE_INVALID;
  auto* const attributes = call.get<CK_ATTRIBUTE*>(2);
  CK_RV rv = CKR_OK;
  for (CK_ULONG i = 0; i < call.get<CK_ULONG>(3); ++i) {
    CK_ATTRIBUTE& attribute = attributes[i];
    const auto value = object->find(attribute.type);
    if (!value) {
      attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
      rv = CKR_ATTRIBUTE_TYPE_INVALID;
    } else if (attribute.pValue == nullptr) {
      attribute.ulValueLen = value->size();
    } else if (attribute.ulValueLen < value->size()) {
      attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
      rv = CKR_BUFFER_TOO_SMALL;
    } else {
      std::copy(value->begin(), value->end(), static_cast<std::uint8_t*>(attribute.pValue));
      attribute.ulValueLen = value->size();
    }
  }
  return rv;
}

CK_RV ScriptedMember::beginWithKey(const Call& call, bool& active) const {
  if (active) return CKR_OPERATION_ACTIVE;
  const auto key = objects_.find(call.get<CK_OBJECT_HANDLE>(2));
  if (key == objects_.end()) return CKR_KEY_HANDLE_INVALID;
  if (!visible(key->second)) return CKR_USER_NOT_LOGGED_IN;
  active = true;
  return CKR_OK;
}

CK_RV ScriptedMember::sign(const Call& call, Session& session) {
  if (!session.signing) return CKR_OPERATION_NOT_INITIALIZED;
  const bool whole = call.fn == Fn::Sign;
  if (!user_) {
    session.signing = false;
    return CKR_USER_NOT_LOGGED_IN;
  }
  const std::string data = whole ? std::string(call.get<const char*>(1), call.get<CK_ULONG>(2)) : session.fed;
  const std::string signature = serial_ + " signed " + data;
  auto* const out = call.get<CK_BYTE*>(whole ? 3 : 1);
  auto& length = *call.get<CK_ULONG*>(whole ? 4 : 2);
  const CK_ULONG room = length;
  length = signature.size();
  if (out == nullptr) return CKR_OK;
  if (room < signature.size()) return CKR_BUFFER_TOO_SMALL;
  std::copy(signature.begin(), signature.end(), out);
  session.signing = false;
  return CKR_OK;
}

Template privateKey(const std::string& label) {
  Template key;
  key.addUlong(CKA_CLASS, CKO_PRIVATE_KEY);
  key.addUlong(CKA_KEY_TYPE, CKK_RSA);
  key.addBool(CKA_TOKEN, true);
  key.addBool(CKA_PRIVATE, true);
  key.addText(CKA_LABEL, label);
  key.addText(CKA_ID, "\x01");
  key.addText(CKA_MODULUS, "modulus of " + label);
  key.addText(CKA_PUBLIC_EXPONENT, "\x03");
  return key;
}

Template dataObject(const std::string& label, bool isPrivate) {
  Template data;
  data.addUlong(CKA_CLASS, CKO_DATA);
  data.addBool(CKA_TOKEN, true);
  data.addBool(CKA_PRIVATE, isPrivate);
  data.addText(CKA_LABEL, label);
  data.addText(CKA_VALUE, "value of " + label);
  return data;
}

}  // namespace p11ha::tests
