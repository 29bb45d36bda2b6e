// What the application does, and whether that was answered as it must be.
#include <algorithm>

#include "tests/simulation/world.h"

namespace p11ha::simulation {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using ha::Phase;

std::size_t World::poisoned() const { return log_.count<halog::CallPoisoned>(); }

// Those on which a call must succeed, if nothing happens to them meanwhile.
std::vector<bool> World::soundMembers() const {
  std::vector<bool> sound;
  for (unsigned i = 0; i < members_.size(); ++i) sound.push_back(faults_[i].sound && phase(i) == Phase::Active);
  return sound;
}

void World::judge(CK_RV rv, const std::vector<bool>& soundBefore, std::size_t poisonedBefore, const char* what) {
  // A PIN that one member refuses is tried on no other.
  if (rv == CKR_OK || rv == CKR_PIN_INCORRECT || poisoned() != poisonedBefore) return;
  // A key that was found alike to another is left alone for now.
  if (log_.count<halog::AmbiguousObject>() != 0) return;
  const std::vector<bool> soundAfter = soundMembers();
  for (unsigned i = 0; i < members_.size(); ++i) {
    if (!soundBefore[i] || !soundAfter[i]) continue;
    if (rv == CKR_USER_NOT_LOGGED_IN && !policy_.failoverOnDeactivation) continue;
    note(std::string(what) + " answers " + cryptoki::returnCodeName(rv) + " though member " + members_[i]->serial() +
         " is well");
    return;
  }
}

template <class Made>
void World::judged(const char* what, Made&& made) {
  const std::vector<bool> sound = soundMembers();
  const std::size_t before = poisoned();
  judge(made(), sound, before, what);
}

World::Client* World::idleClient() {
  for (std::size_t tries = 0; tries < 4; ++tries) {
    Client& client = clients_[random_.below(clients_.size())];
    if (!client.busy) return &client;
  }
  return nullptr;
}

CK_RV World::call(Client& client, Call made) P11HA_NO_THREAD_SAFETY_ANALYSIS {
  ha::Session* const locked = sessions_.lock(client.session);
  if (locked == nullptr) return CKR_SESSION_HANDLE_INVALID;
  client.busy = true;
  ++depth_;
  made.setSession(client.session);
  tell("application: ", cryptoki::function(made.fn).name);
  const CK_RV rv = token_->call(*locked, made);
  tell("application: ", cryptoki::function(made.fn).name, " answers ", cryptoki::returnCodeName(rv));
  --depth_;
  client.busy = false;
  sessions_.unlock(*locked);
  return rv;
}

void World::opens(Client& client) {
  if (client.session != CK_INVALID_HANDLE) {
    // With the last session the login would end.
    token_->closeSession(client.session);
    client.session = CK_INVALID_HANDLE;
  }
  const CK_FLAGS flags = CKF_RW_SESSION | CKF_SERIAL_SESSION;
  if (token_->call(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, flags, nullptr, nullptr, &client.session)) != CKR_OK)
    note("no session can be opened");
}

void World::logsIn() {
  Client* const client = idleClient();
  if (client == nullptr) return;
  std::string pin = kPin;
  judged("C_Login", [&] {
    const CK_RV rv = call(*client, makeCall<Fn::Login>(client->session, CK_USER_TYPE{CKU_USER},
                                                       reinterpret_cast<CK_UTF8CHAR*>(pin.data()), pin.size()));
    loggedIn_ = rv == CKR_OK;
    return rv;
  });
}

void World::logsOut() {
  Client* const client = idleClient();
  if (client == nullptr) return;
  const CK_RV rv = call(*client, makeCall<Fn::Logout>(client->session));
  if (rv != CKR_OK) note(std::string("C_Logout answers ") + cryptoki::returnCodeName(rv));
  loggedIn_ = false;
}

CK_RV World::find(Client& client, const std::string& label, CK_OBJECT_HANDLE& found) {
  CK_ATTRIBUTE wanted{CKA_LABEL, const_cast<char*>(label.data()), label.size()};
  CK_ULONG number = 0;
  CK_OBJECT_HANDLE objects[4] = {};
  found = CK_INVALID_HANDLE;
  if (const CK_RV rv = call(client, makeCall<Fn::FindObjectsInit>(client.session, &wanted, CK_ULONG{1})); rv != CKR_OK)
    return rv;
  CK_RV rv = call(client, makeCall<Fn::FindObjects>(client.session, objects, CK_ULONG{4}, &number));
  if (rv == CKR_OK) rv = call(client, makeCall<Fn::FindObjectsFinal>(client.session));
  // Twice: one that a member made and could not be read there before it was lost is not known again yet.
  if (number > 1) std::erase(made_, label);
  if (number != 0) found = objects[0];
  return rv;
}

void World::searches(Client& client) {
  judged("a search", [&] {
    CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
    return find(client, made_.empty() ? "nothing" : made_[random_.below(made_.size())], found);
  });
}

void World::signs(Client& client, bool inParts) {
  if (!loggedIn_) return;
  judged(inParts ? "a signature in parts" : "a signature", [&]() -> CK_RV {
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    if (const CK_RV rv = find(client, "key", key); rv != CKR_OK) return rv;
    if (key == CK_INVALID_HANDLE) return CKR_KEY_HANDLE_INVALID;
    CK_MECHANISM mechanism{CKM_RSA_PKCS, nullptr, 0};
    if (const CK_RV rv = call(client, makeCall<Fn::SignInit>(client.session, &mechanism, key)); rv != CKR_OK) return rv;
    std::string signature(100, '\0');
    CK_ULONG length = signature.size();
    auto* const out = reinterpret_cast<CK_BYTE*>(signature.data());
    std::string data;
    CK_RV rv = CKR_OK;
    if (inParts) {
      const std::uint64_t parts = random_.below(4);
      for (std::uint64_t part = 0; part < parts && rv == CKR_OK; ++part) {
        std::string piece = "data " + std::to_string(random_.below(1000)) + " ";
        data += piece;
        rv = call(client,
                  makeCall<Fn::SignUpdate>(client.session, reinterpret_cast<CK_BYTE*>(piece.data()), piece.size()));
      }
      if (rv == CKR_OK) rv = call(client, makeCall<Fn::SignFinal>(client.session, out, &length));
    } else {
      data = "data " + std::to_string(random_.below(1000));
      rv = call(client,
                makeCall<Fn::Sign>(client.session, reinterpret_cast<CK_BYTE*>(data.data()), data.size(), out, &length));
    }
    if (rv != CKR_OK) return rv;
    signature.resize(length);
    if (!signature.ends_with(" signed " + data)) note("\"" + signature + "\" is no signature of \"" + data + "\"");
    return rv;
  });
}

void World::creates(Client& client) {
  const std::string label = "object " + std::to_string(++labels_);
  cryptoki::Template object = tests::dataObject(label, false);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const std::vector<bool> before = soundMembers();
  CK_RV made = CKR_OK;
  judged("C_CreateObject", [&] {
    creating_ = true;
    made = call(client, makeCall<Fn::CreateObject>(client.session, object.data(), object.count(), &handle));
    creating_ = false;
    return made;
  });
  const std::vector<bool> after = soundMembers();
  for (unsigned i = 0; i < members_.size(); ++i) {
    const std::size_t copies = members_[i]->objectsLabelled(label);
    if (copies > 1) note(label + " is on member " + members_[i]->serial() + " " + std::to_string(copies) + " times");
    if (made == CKR_OK && before[i] && after[i] && copies != 1)
      note(label + " is not on member " + members_[i]->serial());
  }
  if (made == CKR_OK) made_.push_back(label);
}

void World::destroys(Client& client) {
  if (made_.empty()) return;
  const std::string label = made_[random_.below(made_.size())];
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  if (find(client, label, handle) != CKR_OK || handle == CK_INVALID_HANDLE) return;
  if (std::find(made_.begin(), made_.end(), label) == made_.end()) return;
  // Not every member may hold it.
  const CK_RV done = call(client, makeCall<Fn::DestroyObject>(client.session, handle));
  if (done == CKR_OK) std::erase(made_, label);
}

}  // namespace p11ha::simulation
