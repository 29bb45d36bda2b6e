// What the application reads of its keys, and what it may do with them, where members hold them in the sealed shape
// ("Making a key" and "The truth the application reads" in CLONING.md).
#pragma once

#include "ha/domain_keys.h"
#include "ha/key_records.h"
#include "ha/operations.h"
#include "ha/sealed_shape.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Any thread that holds the session. What members hold as the application reads it costs no
/// call more than the application's own.
class KeyTruth {
 public:
  KeyTruth(Group& group, DomainKeys& domainKeys, KeyRecords& records, Failover& failover)
      : group_(group), domainKeys_(domainKeys), records_(records), failover_(failover) {}

  /// C_GetAttributeValue. Where the answer would be another for a sealed key, and it is not yet known what the key is,
  /// a second call asks; where members could contradict each other and there is no record, the others are asked, too.
  CK_RV read(Session& session, const cryptoki::Call& call) P11HA_REQUIRES(session.mutex);

  /// What the application would read of that object now, where members or a record tell.
  std::optional<notes::Truth> truthOf(Session& session, const ObjectPtr& object) P11HA_REQUIRES(session.mutex);
  /// Do the members hold that key in the sealed shape? `rv`: CKR_OK, or why nobody can tell.
  bool isSealed(Session& session, const ObjectPtr& object, CK_RV& rv) P11HA_REQUIRES(session.mutex);
  /// As the members have it.
  CK_RV natureOf(Session& session, CK_OBJECT_HANDLE handle, KeyNature& nature) P11HA_REQUIRES(session.mutex);

  /// C_WrapKey, before a member is asked: CKR_KEY_UNEXTRACTABLE for a sealed key, which only a trusted key of the
  /// application's could wrap. Else CKR_OK.
  CK_RV mayWrap(Session& session, CK_OBJECT_HANDLE key) P11HA_REQUIRES(session.mutex);
  /// A member's answer to C_WrapKey, as the application is to read it.
  CK_RV answerToWrap(Session& session, CK_OBJECT_HANDLE key, CK_RV rv) P11HA_REQUIRES(session.mutex);

  /// Would a key that is made now, to be carried by that kind of domain key, be made in the sealed shape? Not where the
  /// primary holds no such domain key, or its user is not logged in.
  bool seals(const std::optional<domain::Kind>& kind) const;

  /// What members are to be given in place of the call's template.
  struct Shaped {
    cryptoki::Template given;  // empty: what the call says
    /// It makes a key a sealed one. A member may refuse that and still take what was asked: where a key has a
    /// CKA_UNWRAP_TEMPLATE that wants EXTRACTABLE=false; and SoftHSM, as the standard has it, lets nobody set
    /// WRAP_WITH_TRUSTED later (PKCS #11 v3.0, 4.10, table 27).
    bool seals = false;
    /// It makes one, or is about one: what the application then reads otherwise than of the shape.
    bool notSensitive = false;
    bool wrapWithTrusted = false;
  };
  /// For a call that makes a key (C_CreateObject, C_UnwrapKey, C_DeriveKey, C_CopyObject) or changes one
  /// (C_SetAttributeValue). CKR_OK, or what a change is refused with (PKCS #11 v3.0, 5.7.6).
  CK_RV shape(Session& session, const cryptoki::Call& call, Shaped& shaped) P11HA_REQUIRES(session.mutex);

 private:
  std::optional<notes::Truth> asOthersSay(Session& session, const ObjectPtr& object, const notes::Truth& said,
                                          bool lacksLength) P11HA_REQUIRES(session.mutex);
  CK_RV shapeChanges(Session& session, CK_OBJECT_HANDLE handle, const cryptoki::Template& asked, Shaped& shaped)
      P11HA_REQUIRES(session.mutex);

  Group& group_;
  DomainKeys& domainKeys_;
  KeyRecords& records_;
  Failover& failover_;
};

/// May it be the template that a member refuses so? Then one that was shaped is tried again as it was asked.
bool isTemplateRefused(CK_RV rv);

/// The call with another template; it is to live as long as the call.
cryptoki::Call withTemplate(cryptoki::Call call, cryptoki::Template& given);

}  // namespace p11ha::ha
