// Objects (PKCS #11 v3.0, 5.7).
#include "cryptoki/attribute.h"
#include "tests/conformance/chapters/scenario.h"
#include "tests/conformance/script/standard.h"

namespace p11ha::conformance {

using cryptoki::Fn;

namespace {

const char* const kObjects[] = {
    "data",        "certificate", "aes",          "des3",           "generic",         "rsa public",
    "rsa private", "p256 public", "p256 private", "ed25519 public", "ed25519 private", "dsa public",
    "dsa private", "dh public",   "dh private"};

class Objects {
 public:
  Objects(Client& client, bool token) : client_(client), token_(token) {
    client.begin();
    session_ = client.open("session");
    client.login(session_);
  }

  CK_RV read(CK_OBJECT_HANDLE object, const std::vector<Prepared::Wanted>& wanted, const std::string& what,
             bool random = false) {
    Prepared prepared(Fn::GetAttributeValue, {what, random, {}, {}});
    return client_.call(prepared.value(0, session_).value(1, object).wanted(2, wanted));
  }

  // Each attribute alone, since the first that an object lacks may end a call, and with room and without.
  void readAll(CK_OBJECT_HANDLE object, const std::string& name) {
    for (const auto& attribute : cryptoki::allAttributes()) {
      client_.section(name + ' ' + std::string(attribute.name));
      read(object, {{attribute.type, 0}}, "length");
      read(object, {{attribute.type, 600}}, "value");
      read(object, {{attribute.type, 1}}, "with room for one byte");
    }
    client_.section(name + " size");
    CK_ULONG size = 0;
    client_.call<Fn::GetObjectSize>({name, false, {}, {}}, session_, object, &size);
  }

  CK_OBJECT_HANDLE copy(CK_OBJECT_HANDLE object, const Attributes& changes, const std::string& what) {
    Prepared prepared(Fn::CopyObject, {what, false, what, {}});
    prepared.value(0, session_).value(1, object).attributes(2, changes).memory<CK_ULONG>(4);
    client_.call(prepared);
    return prepared.handle(4);
  }

  CK_RV set(CK_OBJECT_HANDLE object, const Attributes& changes, const std::string& what) {
    Prepared prepared(Fn::SetAttributeValue, {what, false, {}, {}});
    return client_.call(prepared.value(0, session_).value(1, object).attributes(2, changes));
  }

  void find(const Attributes& wanted, const std::string& what) {
    client_.section("find " + what);
    Prepared begin(Fn::FindObjectsInit, {what, false, {}, {}});
    client_.call(begin.value(0, session_).attributes(1, wanted));
    Prepared found(Fn::FindObjects, {what, false, {}, {}});
    found.memory(1, 100 * sizeof(CK_OBJECT_HANDLE));
    found.value(0, session_).value(2, 100).memory<CK_ULONG>(3);
    client_.call(found);
    found.note.situation = what + ", at the end";
    client_.call(found);
    client_.call<Fn::FindObjectsFinal>({what, false, {}, {}}, session_);
  }

  void destroy(CK_OBJECT_HANDLE object, const std::string& what) {
    client_.call<Fn::DestroyObject>({what, false, {}, {}}, session_, object);
  }

  CK_OBJECT_HANDLE create(const std::string& name, const Attributes& object) {
    client_.section("create " + name);
    return client_.create(session_, name, object);
  }

  Client& client_;
  const bool token_;
  CK_SESSION_HANDLE session_ = 0;
};

void eachObject(Client& client, bool token) {
  Objects objects(client, token);
  for (const char* const name : kObjects) {
    const CK_OBJECT_HANDLE object = objects.create(name, objectNamed(name, token));
    objects.readAll(object, name);
    client.section(std::string(name) + " changes");
    objects.set(object, Attributes().text(CKA_LABEL, "changed"), "label");
    objects.set(object, Attributes().number(CKA_CLASS, CKO_DATA), "class");
    objects.set(object, Attributes().flag(CKA_TOKEN, !token), "token");
    objects.read(object, {{CKA_LABEL, 100}, {CKA_CLASS, 100}, {CKA_TOKEN, 100}, {CKA_ID, 100}}, "after");
    client.section(std::string(name) + " copies");
    const CK_OBJECT_HANDLE same = objects.copy(object, Attributes(), "unchanged");
    objects.readAll(same, std::string(name) + " copy");
    client.section(std::string(name) + " other copies");
    const CK_OBJECT_HANDLE other =
        objects.copy(object, Attributes().flag(CKA_TOKEN, !token).text(CKA_LABEL, "copy"), "elsewhere");
    objects.read(other, {{CKA_LABEL, 100}, {CKA_TOKEN, 100}}, "the copy");
    objects.copy(object, Attributes().flag(CKA_PRIVATE), "private");
    objects.copy(object, Attributes().number(CKA_CLASS, CKO_DATA), "of another class");
    objects.destroy(same, "the copy");
    objects.destroy(same, "the copy, twice");
    objects.read(same, {{CKA_LABEL, 100}}, "destroyed");
    objects.destroy(object, name);
  }
}

void searches(Client& client) {
  Objects objects(client, false);
  std::vector<CK_OBJECT_HANDLE> made;
  for (const char* const name : kObjects) made.push_back(objects.create(name, objectNamed(name, made.size() % 2 == 0)));
  objects.create("private", usable(material::data(), "private").without(CKA_PRIVATE).flag(CKA_PRIVATE));
  const auto all = [&](const std::string& when) {
    objects.find(Attributes(), "all" + when);
    objects.find(Attributes().number(CKA_CLASS, CKO_SECRET_KEY), "secret keys" + when);
    objects.find(Attributes().number(CKA_CLASS, CKO_PRIVATE_KEY).flag(CKA_TOKEN), "private token keys" + when);
    objects.find(Attributes().text(CKA_LABEL, "aes"), "by label" + when);
    objects.find(Attributes().text(CKA_LABEL, "nothing"), "none" + when);
    objects.find(Attributes().number(CKA_KEY_TYPE, CKK_RSA), "RSA" + when);
    objects.find(Attributes().flag(CKA_TOKEN, false), "session objects" + when);
    objects.find(Attributes().flag(CKA_PRIVATE), "private objects" + when);
    objects.find(Attributes().bytes(CKA_VALUE, fixed::aesValue()), "by value" + when);
    objects.find(Attributes().bytes(0x7ffff123, counting(4)), "by an unknown attribute" + when);
    objects.find(Attributes().bytes(CKA_LABEL, {}), "by an empty label" + when);
    objects.find(Attributes().number(CKA_CLASS, 0x12345678), "of an unknown class" + when);
    objects.find(Attributes().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE), "by flags" + when);
  };
  all("");
  client.section("between");
  objects.destroy(made[2], "one of them");
  objects.set(made[0], Attributes().text(CKA_LABEL, "aes"), "named like another");
  all(" after changes");
  client.section("out");
  client.logout(objects.session_);
  all(" logged out");
  client.section("in");
  client.login(objects.session_);
  all(" logged in again");
  client.section("another session");
  objects.session_ = client.open("another", false);
  all(" in another session");
}

void badTemplates(Client& client) {
  Objects objects(client, false);
  const auto create = [&](const std::string& what, const Attributes& object) {
    const CK_OBJECT_HANDLE made = objects.create(what, object);
    objects.read(made, {{CKA_LABEL, 100}, {CKA_CLASS, 100}, {CKA_ALWAYS_SENSITIVE, 1}, {CKA_LOCAL, 1}},
                 "what " + what + " is");
  };
  const Attributes aes = objectNamed("aes", false);
  create("without a class", aes.without(CKA_CLASS));
  create("without a key type", aes.without(CKA_KEY_TYPE));
  create("without a value", aes.without(CKA_VALUE));
  create("with a class twice", Attributes(aes).number(CKA_CLASS, CKO_SECRET_KEY));
  create("with a label twice", Attributes(aes).text(CKA_LABEL, "other"));
  create("with a value of 7 bytes", aes.without(CKA_VALUE).bytes(CKA_VALUE, counting(7)));
  create("with an empty value", aes.without(CKA_VALUE).bytes(CKA_VALUE, {}));
  create("with a length of the value", Attributes(aes).number(CKA_VALUE_LEN, 32));
  create("claiming to be local", Attributes(aes).flag(CKA_LOCAL));
  create("claiming to be always sensitive", Attributes(aes).flag(CKA_ALWAYS_SENSITIVE));
  create("trusted", Attributes(aes).flag(CKA_TRUSTED));
  create("sensitive", aes.without(CKA_SENSITIVE).flag(CKA_SENSITIVE));
  create("not extractable", aes.without(CKA_EXTRACTABLE).flag(CKA_EXTRACTABLE, false));
  create("not modifiable", Attributes(aes).flag(CKA_MODIFIABLE, false));
  create("not copyable", Attributes(aes).flag(CKA_COPYABLE, false));
  create("not destroyable", Attributes(aes).flag(CKA_DESTROYABLE, false));
  create("of a foreign attribute", Attributes(aes).bytes(CKA_MODULUS, counting(128)));
  create("of an unknown attribute", Attributes(aes).bytes(0x7ffff123, counting(4)));
  create("of an unknown class", aes.without(CKA_CLASS).number(CKA_CLASS, 0x12345678));
  create("of an unknown key type", aes.without(CKA_KEY_TYPE).number(CKA_KEY_TYPE, 0x12345678));
  create("with allowed mechanisms", Attributes(aes).bytes(CKA_ALLOWED_MECHANISMS, bytesOfValue(CK_ULONG{CKM_AES_CBC})));
  create("with a start date", Attributes(aes).bytes(CKA_START_DATE, bytesOf("20240101")));
  create("with a start date that is none", Attributes(aes).bytes(CKA_START_DATE, bytesOf("hello")));
  create("with a check value", Attributes(aes).bytes(CKA_CHECK_VALUE, counting(3)));
  create("RSA without an exponent", objectNamed("rsa public", false).without(CKA_PUBLIC_EXPONENT));
  create("RSA without primes", objectNamed("rsa private", false)
                                   .without(CKA_PRIME_1)
                                   .without(CKA_PRIME_2)
                                   .without(CKA_EXPONENT_1)
                                   .without(CKA_EXPONENT_2)
                                   .without(CKA_COEFFICIENT));
  create("EC with parameters that are none",
         objectNamed("p256 public", false).without(CKA_EC_PARAMS).bytes(CKA_EC_PARAMS, counting(5)));
  create("a large data object", usable(material::data(), "large").without(CKA_VALUE).bytes(CKA_VALUE, counting(60000)));
}

void protectedKeys(Client& client) {
  Objects objects(client, true);
  for (const bool token : {false, true}) {
    const std::string where = token ? " on the token" : " of the session";
    const Attributes generic = objectNamed("generic", token).without(CKA_SENSITIVE).without(CKA_EXTRACTABLE);
    const CK_OBJECT_HANDLE hidden =
        objects.create("hidden" + where, Attributes(generic).flag(CKA_SENSITIVE).flag(CKA_EXTRACTABLE, false));
    client.section("hidden" + where);
    objects.read(hidden, {{CKA_VALUE, 100}}, "value");
    objects.read(hidden, {{CKA_LABEL, 100}, {CKA_VALUE, 100}, {CKA_VALUE_LEN, 8}, {CKA_ID, 100}}, "value among others");
    objects.read(hidden,
                 {{CKA_SENSITIVE, 1},
                  {CKA_EXTRACTABLE, 1},
                  {CKA_ALWAYS_SENSITIVE, 1},
                  {CKA_NEVER_EXTRACTABLE, 1},
                  {CKA_LOCAL, 1}},
                 "flags");
    objects.set(hidden, Attributes().flag(CKA_SENSITIVE, false), "not sensitive");
    objects.set(hidden, Attributes().flag(CKA_EXTRACTABLE), "extractable");
    objects.copy(hidden, Attributes().flag(CKA_SENSITIVE, false), "a copy that is not sensitive");
    objects.copy(hidden, Attributes().flag(CKA_EXTRACTABLE), "an extractable copy");
    const CK_OBJECT_HANDLE open =
        objects.create("open" + where, Attributes(generic).flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE));
    client.section("open" + where);
    objects.set(open, Attributes().flag(CKA_SENSITIVE), "sensitive");
    objects.set(open, Attributes().flag(CKA_EXTRACTABLE, false), "not extractable");
    objects.read(open,
                 {{CKA_SENSITIVE, 1}, {CKA_EXTRACTABLE, 1}, {CKA_ALWAYS_SENSITIVE, 1}, {CKA_NEVER_EXTRACTABLE, 1}},
                 "flags");
    objects.read(open, {{CKA_VALUE, 100}}, "value");
    for (const CK_ATTRIBUTE_TYPE type : {CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE}) {
      const std::string name(cryptoki::attributeName(type));
      std::string title(name);
      title.append(" false").append(where);
      const CK_OBJECT_HANDLE firm = objects.create(title, Attributes(generic).flag(type, false));
      client.section(title);
      objects.set(firm, Attributes().text(CKA_LABEL, "other"), "label");
      objects.set(firm, Attributes().flag(type), "the flag itself");
      objects.copy(firm, Attributes().text(CKA_LABEL, "other"), "a copy");
      objects.destroy(firm, "it");
      objects.read(firm, {{CKA_LABEL, 100}}, "afterwards");
    }
  }
}

}  // namespace

std::vector<Scenario> objectScenarios() {
  return {{"objects of the session", [](Client& client) { eachObject(client, false); }},
          {"objects of the token", [](Client& client) { eachObject(client, true); }},
          {"objects searched", searches},
          {"objects of bad templates", badTemplates},
          {"objects protected", protectedKeys}};
}

}  // namespace p11ha::conformance
