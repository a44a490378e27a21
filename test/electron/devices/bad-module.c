/* A PKCS#11 module that loads and then misbehaves, as CONCLAVE_BAD says: for modules.test.ts, never shipped. */
#include <pkcs11/pkcs11.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static CK_RV initialize(CK_VOID_PTR arguments) { (void)arguments; return CKR_OK; }
static CK_RV finalize(CK_VOID_PTR reserved) { (void)reserved; return CKR_OK; }

static CK_RV get_info(CK_INFO_PTR info) {
  memset(info, ' ', sizeof *info);
  info->cryptokiVersion.major = 2;
  info->cryptokiVersion.minor = 40;
  info->libraryVersion.major = info->libraryVersion.minor = 0;
  info->flags = 0;
  memcpy(info->manufacturerID, "Bad", 3);
  return CKR_OK;
}

static int is(const char *how) {
  const char *bad = getenv("CONCLAVE_BAD");
  return bad && !strncmp(bad, how, strlen(how));
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  (void)present;
  if (is("hang")) for (;;) sleep(1);
  if (is("crash")) *(volatile int *)8 = 1;
  if (is("abort")) abort();
  if (is("exit")) exit(0);
  if (is("vendor")) return CKR_VENDOR_DEFINED + 0x1234;
  if (is("newer")) return 0x208; /* CKR_TOKEN_NOT_INITIALIZED, unknown to headers of 2.40 */
  *count = is("token") ? 1 : 0;
  if (*count && slots) *slots = 1;
  return CKR_OK;
}

/* --- "token...": one token, one object under every name, and calls of PKCS#11 3.2 that lie as the rest of the word says --- */

#define CKM_HSS_KEY_PAIR_GEN 0x4032UL
#define CKA_HSS_LEVELS 0x617UL
#define CKA_HSS_LMS_TYPES 0x61aUL
#define CKA_HSS_LMOTS_TYPES 0x61bUL
#define CKA_HSS_KEYS_REMAINING 0x61cUL
#define CKK_HSS 0x46UL
#define KEY 7UL
#define SECRET 8UL
#define VENDOR_ML_DSA 0x80000a01UL
#define VENDOR_ML_DSA_KEY_PAIR_GEN 0x80000a02UL
#define VENDOR_KEY_TYPE 0x80000a03UL

static int searching, secrets;
static const CK_MECHANISM_TYPE MECHANISMS[] = { 0x17, CKM_HSS_KEY_PAIR_GEN, VENDOR_ML_DSA, VENDOR_ML_DSA_KEY_PAIR_GEN };

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  (void)slot;
  memset(info, ' ', sizeof *info);
  memcpy(info->serialNumber, "1", 1);
  info->flags = CKF_TOKEN_INITIALIZED;
  return CKR_OK;
}

static CK_RV get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count) {
  (void)slot;
  *count = sizeof MECHANISMS / sizeof *MECHANISMS;
  if (list) memcpy(list, MECHANISMS, sizeof MECHANISMS);
  return CKR_OK;
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info) {
  (void)slot;
  (void)type;
  memset(info, 0, sizeof *info);
  return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session) {
  (void)slot;
  (void)flags;
  (void)application;
  (void)notify;
  *session = 5;
  return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session) { (void)session; return CKR_OK; }

/* What carries a secret is looked for by nobody: the test asks for it by its label, to see whether any is left. */
static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count) {
  (void)session;
  searching = 1;
  for (CK_ULONG i = 0; i < count; i++) {
    if (template[i].type == CKA_LABEL && template[i].ulValueLen == 7 && !memcmp(template[i].pValue, "secrets", 7)) searching = secrets ? 2 : 0;
  }
  return CKR_OK;
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR found, CK_ULONG most, CK_ULONG_PTR count) {
  (void)session;
  *count = searching && most > 0 ? 1 : 0;
  if (*count) *found = searching == 2 ? SECRET : KEY;
  searching = 0;
  return CKR_OK;
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session) { (void)session; return CKR_OK; }

static CK_RV destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  (void)session;
  if (object != SECRET || secrets == 0) return CKR_OBJECT_HANDLE_INVALID;
  secrets--;
  return CKR_OK;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template, CK_ULONG count) {
  CK_ULONG number;
  CK_RV result = CKR_OK;
  (void)session;
  for (CK_ULONG i = 0; i < count; i++) {
    CK_ULONG length = sizeof number;
    switch (template[i].type) {
      case CKA_VALUE: length = object == SECRET ? (is("token-short-secret") ? 31 : 32) : 60; break;
      case CKA_CLASS: number = CKO_PRIVATE_KEY; break;
      case CKA_KEY_TYPE: number = is("token-vendor") ? VENDOR_KEY_TYPE : CKK_HSS; break;
      case CKA_KEY_GEN_MECHANISM: number = is("token-vendor") ? VENDOR_ML_DSA_KEY_PAIR_GEN : CKM_HSS_KEY_PAIR_GEN; break;
      case CKA_HSS_KEYS_REMAINING: number = 1048575; break;
      default: template[i].ulValueLen = (CK_ULONG)-1; result = CKR_ATTRIBUTE_TYPE_INVALID; continue;
    }
    if (template[i].pValue) {
      if (template[i].type == CKA_VALUE) memset(template[i].pValue, 9, length);
      else memcpy(template[i].pValue, &number, length);
    }
    template[i].ulValueLen = length;
  }
  return result;
}

/* A stateful key needs its levels and types, and may not be copied. With the vendor's numbers the key type is the vendor's. */
static CK_RV generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR public, CK_ULONG public_count,
                               CK_ATTRIBUTE_PTR private, CK_ULONG private_count, CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key) {
  CK_ULONG types[] = { 6, 6 }, one_time[] = { 4, 4 };
  int found = 0;
  (void)session;
  (void)public;
  (void)public_count;
  for (CK_ULONG i = 0; i < private_count; i++) {
    CK_ATTRIBUTE a = private[i];
    if (a.type == CKA_KEY_TYPE && mechanism->mechanism == VENDOR_ML_DSA_KEY_PAIR_GEN && *(CK_ULONG *)a.pValue == VENDOR_KEY_TYPE) found = 4;
    if (a.type == CKA_HSS_LEVELS && *(CK_ULONG *)a.pValue == 2) found++;
    if (a.type == CKA_HSS_LMS_TYPES && a.ulValueLen == sizeof types && !memcmp(a.pValue, types, sizeof types)) found++;
    if (a.type == CKA_HSS_LMOTS_TYPES && a.ulValueLen == sizeof one_time && !memcmp(a.pValue, one_time, sizeof one_time)) found++;
    if (a.type == 0x171 /* CKA_COPYABLE */ && *(CK_BBOOL *)a.pValue == CK_FALSE) found++;
  }
  if (found != 4) return CKR_TEMPLATE_INCOMPLETE;
  *public_key = *private_key = KEY;
  return CKR_OK;
}

struct sign_context { CK_ULONG hedge; CK_BYTE_PTR context; CK_ULONG length; };

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  struct sign_context *given = mechanism->pParameter;
  if (session != 5 || key != KEY || mechanism->mechanism != 0x1d || mechanism->ulParameterLen != sizeof *given) return CKR_ARGUMENTS_BAD;
  return given->hedge == 0 && given->length == 7 && !memcmp(given->context, "context", 7) ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static CK_RV encapsulate(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_PTR template, CK_ULONG count,
                         CK_BYTE_PTR ciphertext, CK_ULONG_PTR length, CK_OBJECT_HANDLE_PTR secret) {
  if (session != 5 || key != KEY || mechanism->mechanism != 0x17 || mechanism->pParameter || count == 0 || template[0].type != CKA_CLASS) return CKR_ARGUMENTS_BAD;
  if (is("token-refuses")) return CKR_VENDOR_DEFINED + 0x77;
  memset(ciphertext, 3, *length);
  if (is("token-long")) *length += 1;
  if (is("token-short-text")) *length -= 1;
  if (is("token-huge")) *length = (CK_ULONG)-1;
  *secret = SECRET;
  secrets++;
  return CKR_OK;
}

static CK_RV decapsulate(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_PTR template, CK_ULONG count,
                         CK_BYTE_PTR ciphertext, CK_ULONG length, CK_OBJECT_HANDLE_PTR secret) {
  (void)template;
  (void)count;
  if (session != 5 || key != KEY || mechanism->mechanism != 0x17 || length == 0 || ciphertext[length - 1] != 3) return CKR_ARGUMENTS_BAD;
  *secret = SECRET;
  secrets++;
  return CKR_OK;
}

static struct { CK_VERSION version; CK_VOID_PTR calls[104]; } functions32 = { { 3, 2 }, { 0 } };
static struct { CK_CHAR *name; CK_VOID_PTR list; CK_FLAGS flags; } interface32 = { (CK_CHAR *)"PKCS 11", &functions32, 0 };

CK_RV C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_VOID_PTR *interface, CK_FLAGS flags) {
  (void)flags;
  if (strcmp((char *)name, "PKCS 11") || version->major != 3 || version->minor != 2 || is("token-no-interface")) return CKR_FUNCTION_FAILED;
  functions32.version.minor = is("token-older") ? 0 : 2;
  functions32.calls[92] = is("token-hollow") ? NULL_PTR : (CK_VOID_PTR)encapsulate;
  functions32.calls[93] = is("token-hollow") ? NULL_PTR : (CK_VOID_PTR)decapsulate;
  interface32.list = is("token-no-list") ? NULL_PTR : &functions32;
  *interface = is("token-null") ? NULL_PTR : (CK_VOID_PTR)&interface32;
  return CKR_OK;
}

static CK_FUNCTION_LIST functions;

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  functions.version.major = 2;
  functions.version.minor = 40;
  functions.C_Initialize = initialize;
  functions.C_Finalize = finalize;
  functions.C_GetInfo = get_info;
  functions.C_GetSlotList = get_slot_list;
  functions.C_GetTokenInfo = get_token_info;
  functions.C_GetMechanismList = get_mechanism_list;
  functions.C_GetMechanismInfo = get_mechanism_info;
  functions.C_OpenSession = open_session;
  functions.C_CloseSession = close_session;
  functions.C_FindObjectsInit = find_objects_init;
  functions.C_FindObjects = find_objects;
  functions.C_FindObjectsFinal = find_objects_final;
  functions.C_DestroyObject = destroy_object;
  functions.C_GetAttributeValue = get_attribute_value;
  functions.C_GenerateKeyPair = generate_key_pair;
  functions.C_SignInit = sign_init;
  *list = &functions;
  return CKR_OK;
}
